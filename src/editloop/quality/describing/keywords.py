"""The verb of an instruction and the noun that it acts on, by word lists.

An instruction such as "make the man's red hat bigger" has the verb `make` and the object `hat`: the
last noun of the noun phrase after the verb. There is no parser: what the lists do not know gives
another noun of the same phrase, or none.
"""

from __future__ import annotations

import re

__all__ = ["keywords_of"]

_VERBS = """
add adjust age alter animate apply attach blend blur brighten bring build change clean close colour
colorize convert cover create crop darken decorate decrease delete depict desaturate draw dress drop
duplicate edit enhance enlarge eliminate erase exchange extend fill fix flip freeze get give grow
hang have hide highlight illuminate include incorporate increase insert introduce keep let lighten
lower make melt merge mirror modify move open paint place position put raise recolour reduce remove
render replace resize restore rotate saturate set sharpen shift show shrink soften split stretch
stylize substitute surround swap switch take tilt tint transform turn use wear wrap write zoom
"""
_SPELT = {"color": "colour", "recolor": "recolour", "colourise": "colorize", "stylise": "stylize"}
_STOPS_WORDS = """
above across after against along among and around as at be before behind below beneath beside
between beyond but by down during for from if in inside instead into is like look looking near of
off on onto or out outside over so than that then there through to toward towards under until up
upon when where which while who whose with within without being should would appear less more much
very wearing holding sitting standing walking
"""
_STOPS = frozenset(_STOPS_WORDS.split())
_SKIPPED_WORDS = """
a all an any another both each entire every few her his its just main many my one other our
overall please several single some the their these this those three two whole your only also
slightly
"""
_SKIPPED = frozenset(_SKIPPED_WORDS.split())
_ADJECTIVES_WORDS = """
alive angry autumnal bald beige better big bigger black blonde blue bold bright brighter brown
clean clear cloudy cold colder cooler cozy crimson cute dark darker dirty dry empty futuristic
gold golden gray green grey happy icy invisible large larger light lighter long longer metallic
modern narrower new night old older open orange pink plain purple rainy red rusty sad scary
shorter silver small smaller smooth snowy spooky steampunk stormy sunny taller teal thicker
thinner tiny transparent turquoise vibrant vintage violet warmer wet white wider wooden yellow
younger
"""
_ADJECTIVES = frozenset(_ADJECTIVES_WORDS.split())
_ENDINGS = ("ful", "less", "ous", "ish")  # of further adjectives
_PRONOUNS = frozenset(["it", "them", "him", "everything", "everyone"])
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[,.;:!?]")


def keywords_of(instruction: str) -> tuple[str, str | None] | None:
    """Return the first verb of the list and its object, or None; None as well without a verb."""
    tokens = _TOKEN.findall(instruction.lower())
    for at, token in enumerate(tokens):
        if token in _FORMS:
            return _FORMS[token], _object(tokens[at + 1 :])
    return None


def _object(tokens: list[str]) -> str | None:
    """Return the head of the first noun phrase of the words after a verb."""
    phrase: list[str] = []
    for token in tokens:
        ends = token in _STOPS or not token[0].isalpha()
        if ends and phrase:
            break
        if token in _PRONOUNS and not phrase:
            return token
        if not ends and token not in _SKIPPED and not token.endswith(("'s", "’s")):
            phrase.append(token)
    nouns = [word for word in phrase if word not in _ADJECTIVES and not word.endswith(_ENDINGS)]
    return next(reversed(nouns or phrase), None)


def _forms(verb: str) -> list[str]:
    stem = verb.removesuffix("e")
    doubled = verb + verb[-1]
    return [verb, f"{verb}s", f"{stem}ed", f"{stem}ing", f"{doubled}ed", f"{doubled}ing"]


_FORMS = {form: verb for verb in _VERBS.split() for form in _forms(verb)}
_FORMS |= {form: _FORMS[ours] for other, ours in _SPELT.items() for form in _forms(other)}
