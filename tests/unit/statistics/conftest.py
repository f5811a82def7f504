from hypothesis import settings

# a busy machine is no failing property
settings.register_profile("statistics", deadline=None)
settings.load_profile("statistics")
