"""Numbers as people read them."""

_MOST = 1e15
"""From here on whole numbers are not exact any more, and a power of ten says more."""


def plain_number(number: float, digits: int = 2) -> str:
    """Return a number with so many significant digits, a large one with separators.

    >>> plain_number(123_456.7), plain_number(0.123456, 3)
    ('120,000', '0.123')
    """
    text = f"{number:.{digits}g}"
    if "e+" not in text or not abs(number) < _MOST:
        return text
    return f"{float(text):,.0f}"


def read_number(number: float, digits: int = 5) -> str:
    """Return a measured number: as many digits as asked for, all before the point if it has more.

    >>> read_number(1_234_567.8), read_number(0.1234567)
    ('1,234,568', '0.12346')
    """
    text = f"{number:.{digits}g}"
    large = abs(number) < _MOST and ("e+" in text or abs(number) >= 10**digits)
    return f"{number:,.0f}" if large else text
