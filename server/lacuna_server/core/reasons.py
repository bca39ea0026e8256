"""Why nothing is shown: a code and a sentence for each reason."""

from __future__ import annotations

from enum import StrEnum


class Withheld(StrEnum):
    """A reason code. `sentence` explains it to the user."""

    sentence: str

    EMPTY = "empty", "The model had nothing to add."
    REPEATS = "repeats", "The answer only repeated the text after the cursor."
    LOOP = "loop", "The model repeated itself until it was stopped."
    NONSENSE = "nonsense", "The answer would have added a syntax error to the file."
    INSIDE_WORD = "inside-word", "The cursor is inside a word."
    UNSURE = "unsure", "The answer is too likely to be wrong (setting `eagerness`)."
    LOADING = "loading", "The model is not loaded yet."
    UNAVAILABLE = "unavailable", "The model failed to load, or the request failed."
    CANCELLED = "cancelled", "The request was cancelled or replaced by a newer one."
    OUT_OF_STEP = (
        "out-of-step",
        "Lacuna's copy of the file may differ from the editor's, because a change could not be read. Save the file or "
        "reopen it.",
    )
    OFF = "off", "Suggestions are turned off (setting `mode`)."
    MANUAL = "manual", "Suggestions appear only on request (setting `mode`)."
    SNOOZED = "snoozed", "Suggestions are snoozed for a few minutes."
    LANGUAGE = "language", "Suggestions are turned off for this language (setting `languages`)."
    MODEL_LANGUAGE = "model-language", "The bundled model completes Python only (setting `languages`)."
    EXCLUDED = "excluded", "The file's name is excluded (setting `exclude`)."
    SECRET = "secret", "Files that hold passwords and keys are never shown to the model."
    TOO_LARGE = "too-large", "The file is too large (setting `max_file_kib`)."
    COMMENT = "comment", "The cursor is in a comment (setting `in_comments`)."
    STRING = "string", "The cursor is in a string (setting `in_strings`)."

    def __new__(cls, code: str, sentence: str) -> Withheld:
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.sentence = sentence
        return reason
