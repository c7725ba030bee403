"""Times as people say them. A page without JavaScript knows no time zone: so ages, then days."""

from datetime import UTC, datetime, timedelta

from markupsafe import Markup

from service.pages.texts import Texts

_TIME = Markup('<time datetime="{}" title="{}">{}</time>')
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_STEPS = ((_MINUTE, _HOUR, "minute"), (_HOUR, _DAY, "hour"), (_DAY, 7 * _DAY, "day"))


def age(texts: Texts, at: datetime, now: datetime) -> Markup:
    """How long ago that was, as a `<time>` element; a day when it is over a week ago."""
    at = at.astimezone(UTC)
    return _TIME.format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), at.strftime("%Y-%m-%d %H:%M UTC"), _age(texts, at, now)
    )


def duration(texts: Texts, length: timedelta) -> Markup:
    """A time to wait, rounded up: in seconds below two minutes, else in minutes."""
    seconds = -(-length // timedelta(seconds=1))
    if seconds < 120:  # noqa: PLR2004 (two minutes)
        return _count(texts, "duration.second", max(1, seconds))
    return _count(texts, "duration.minute", -(-length // _MINUTE))


def _age(texts: Texts, at: datetime, now: datetime) -> Markup:
    passed = now - at
    if passed < _MINUTE:
        return texts.plain("age.now")
    for unit, below, name in _STEPS:
        if passed < below:
            return _count(texts, f"age.{name}", passed // unit)
    month = texts.plain(f"month.{at.month}")
    return texts.plain("age.date", day=at.day, month=month, year=at.year)


def _count(texts: Texts, key: str, number: int) -> Markup:
    form = "one" if number == 1 else "other"
    return texts.plain(f"{key}.{form}", number=number)
