"""The speaker's language: a small pronouncing dictionary and an unlimited supply of simple sentences."""

from __future__ import annotations

import numpy as np

from jean.errors import UsageError

# Word: phonemes (ARPAbet, see ``phonemes.py``).
DICTIONARY = {
    "a": "AH",
    "above": "AH B AH V",
    "all": "AO L",
    "always": "AO L W EY Z",
    "and": "AE N D",
    "apple": "AE P AH L",
    "babies": "B EY B IY Z",
    "big": "B IH G",
    "blue": "B L UW",
    "boat": "B OW T",
    "book": "B UH K",
    "boys": "B OY Z",
    "bring": "B R IH NG",
    "brown": "B R AW N",
    "buy": "B AY",
    "calm": "K AA M",
    "cheap": "CH IY P",
    "choose": "CH UW Z",
    "clouds": "K L AW D Z",
    "cold": "K OW L D",
    "farm": "F AA R M",
    "father": "F AA DH ER",
    "find": "F AY N D",
    "fish": "F IH SH",
    "five": "F AY V",
    "flowers": "F L AW ER Z",
    "for": "F AO R",
    "garden": "G AA R D AH N",
    "girls": "G ER L Z",
    "give": "G IH V",
    "good": "G UH D",
    "green": "G R IY N",
    "happy": "HH AE P IY",
    "he": "HH IY",
    "home": "HH OW M",
    "house": "HH AW S",
    "in": "IH N",
    "join": "JH OY N",
    "jump": "JH AH M P",
    "keep": "K IY P",
    "lamp": "L AE M P",
    "large": "L AA R JH",
    "leave": "L IY V",
    "make": "M EY K",
    "many": "M EH N IY",
    "maps": "M AE P S",
    "meet": "M IY T",
    "men": "M EH N",
    "milk": "M IH L K",
    "money": "M AH N IY",
    "moon": "M UW N",
    "mother": "M AH DH ER",
    "move": "M UW V",
    "my": "M AY",
    "never": "N EH V ER",
    "new": "N UW",
    "now": "N AW",
    "often": "AO F AH N",
    "old": "OW L D",
    "on": "AO N",
    "open": "OW P AH N",
    "our": "AW ER",
    "paint": "P EY N T",
    "people": "P IY P AH L",
    "piano": "P IY AE N OW",
    "pool": "P UW L",
    "put": "P UH T",
    "river": "R IH V ER",
    "room": "R UW M",
    "see": "S IY",
    "she": "SH IY",
    "shoes": "SH UW Z",
    "show": "SH OW",
    "small": "S M AO L",
    "soup": "S UW P",
    "stop": "S T AA P",
    "summer": "S AH M ER",
    "take": "T EY K",
    "the": "DH AH",
    "they": "DH EY",
    "things": "TH IH NG Z",
    "this": "DH IH S",
    "three": "TH R IY",
    "to": "T UW",
    "today": "T UW D EY",
    "town": "T AW N",
    "two": "T UW",
    "under": "AH N D ER",
    "voices": "V OY S IH Z",
    "wait": "W EY T",
    "walk": "W AO K",
    "want": "W AA N T",
    "warm": "W AO R M",
    "watch": "W AA CH",
    "water": "W AO T ER",
    "we": "W IY",
    "window": "W IH N D OW",
    "with": "W IH DH",
    "women": "W IH M AH N",
    "you": "Y UW",
    "young": "Y AH NG",
}

# Sentence pattern: subject, adverb, verb, object, place.
_SUBJECTS = (
    "we",
    "you",
    "they",
    "my mother",
    "our father",
    "the young men",
    "the old women",
    "many people",
    "five boys",
    "the babies",
    "all girls",
)
_ADVERBS = (
    "",
    "always",
    "often",
    "never",
    "now",
)
_VERBS = (
    "buy",
    "bring",
    "find",
    "give",
    "keep",
    "leave",
    "make",
    "move",
    "open",
    "paint",
    "see",
    "show",
    "take",
    "want",
    "watch",
    "choose",
)
_OBJECTS = (
    "the blue boat",
    "a good book",
    "brown shoes",
    "two large maps",
    "the small lamp",
    "warm milk",
    "cold water",
    "new flowers",
    "the old piano",
    "cheap apple soup",
    "big fish",
    "happy voices",
    "good money",
    "three green things",
)
_PLACES = (
    "in the garden",
    "on the river",
    "in this room",
    "under the moon",
    "above the clouds",
    "to the farm",
    "for my father",
    "with our mother",
    "in town today",
    "in summer",
    "to the pool",
    "in the warm house",
)


def make_sentence(number: int) -> str:
    """The sentence of a number; the same number gives the same sentence on every machine."""
    rng = np.random.default_rng([0x5E, number])
    words = [str(rng.choice(bank)) for bank in (_SUBJECTS, _ADVERBS, _VERBS, _OBJECTS, _PLACES)]
    return " ".join(word for word in words if word)


def to_phonemes(text: str) -> list[str]:
    """Phonemes of a text made of words of ``DICTIONARY``.

    Raises:
        UsageError: a word is not in the dictionary (the message names the nearest), or there is no word.
    """
    import difflib

    names: list[str] = []
    for word in text.lower().replace(",", " ").replace(".", " ").split():
        if word not in DICTIONARY:
            near = difflib.get_close_matches(word, DICTIONARY, 1, 0.0)
            raise UsageError(f"the synthetic speaker does not know the word {word!r}.", f"The nearest is {near[0]!r}.")
        names += DICTIONARY[word].split()
    if not names:
        raise UsageError("a sentence has no words.", "Give at least one word of the dictionary.")
    return names
