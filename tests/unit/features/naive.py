"""Point in time, row by row and by the book: what the join is held against."""


def naive(entities, views, as_of=None):
    """Return for each (key..., time) row the value or (None, status) of each view.

    A view is (rows, ttl, delay, revised); a row is (key, at, recorded, value) in source order.
    """
    return [[_value(key, time, *view, as_of=as_of) for view in views] for key, time in entities]


def _value(key, time, rows, ttl, delay, revised, *, as_of):
    best = None
    for place, (row_key, at, recorded, value) in enumerate(rows):
        if row_key is None or row_key != key or at is None:
            continue
        known = at + delay
        if revised:
            known = max(known, recorded)
        if known > time or (as_of is not None and known > as_of):
            continue
        order = (at, recorded if revised else 0, place)
        if best is None or order > best[0]:
            best = (order, at, value)
    if best is None:
        return None, "missing"
    if ttl and time - best[1] > ttl:
        return None, "stale"
    return best[2], "present"
