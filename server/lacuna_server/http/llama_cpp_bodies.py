"""Request bodies of llama.cpp's server, and the engine requests they stand for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lacuna_inference.api import ContextFile, Raw, Request, Sampling, Stop
from lacuna_inference.errors import BadRequest
from lacuna_server.http import fields
from lacuna_server.http.fields import Body
from lacuna_server.http.openai_bodies import MAX_PROMPTS, Ids
from lacuna_server.http.shared import parts_of, session_key, strings_of

DEFAULT_MAX_TOKENS = 128
_RANDOM_SEED = 2**32 - 1
"""llama.cpp's value for no seed, besides negative ones."""
_Bias = Annotated[float, Field(ge=-1000, le=1000)] | bool
_Id = Annotated[int, Field(ge=0, le=2**31)]


class Generation(Body):
    """Fields shared by `/infill` and `/completion`. The default temperature is 0."""

    n_predict: Annotated[int | None, Field(ge=-2, le=100_000, description=f"-1 and -2: {DEFAULT_MAX_TOKENS}")] = None
    max_tokens: Annotated[int | None, Field(ge=-2, le=100_000, description="another name of n_predict")] = None
    temperature: fields.ColdTemperature = 0.0
    top_p: fields.TopP = 1.0
    top_k: Annotated[int, Field(ge=-(2**31), le=2**31 - 1, description="0 and less: no limit")] = 0
    min_p: fields.MinP = 0.0
    presence_penalty: fields.Penalty = 0.0
    frequency_penalty: fields.Penalty = 0.0
    logit_bias: Annotated[
        tuple[tuple[_Id, _Bias], ...] | dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], _Bias],
        Field(max_length=1000, description="false: never"),
    ] = ()
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1, description="-1: none")] = -1
    stop: fields.StopText | fields.StopTexts = ()
    stream: bool = False
    n_probs: Annotated[int, Field(ge=0, le=100)] = 0
    response_fields: Annotated[
        tuple[Annotated[str, Field(max_length=100)], ...], Field(max_length=100, description="`a/b` is b of a")
    ] = ()
    t_max_predict_ms: Annotated[int, Field(ge=-(2**31), le=10**9, description="0 and less: no limit")] = 0
    session: fields.Session | None = None

    @property
    def _max_tokens(self) -> int:
        given = self.n_predict if self.n_predict is not None else self.max_tokens
        return DEFAULT_MAX_TOKENS if given is None or given < 0 else given

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as llama.cpp's server echoes them."""
        names = ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "seed", "stream")
        echoed = {name: getattr(self, name) for name in names}
        tokens = {"n_predict": self._max_tokens, "max_tokens": self._max_tokens, "n_probs": self.n_probs}
        return {**echoed, **tokens, "stop": list(strings_of(self.stop))}

    def _sampling(self) -> Sampling:
        return Sampling(
            self.temperature,
            self.top_p,
            None if self.seed < 0 or self.seed == _RANDOM_SEED else self.seed,
            top_k=max(0, self.top_k),
            min_p=self.min_p,
            logit_bias=self._biases(),
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )

    def _biases(self) -> tuple[tuple[int, float], ...]:
        given = self.logit_bias
        pairs = given.items() if isinstance(given, dict) else given
        return tuple((int(token), _bias(bias)) for token, bias in pairs)

    def _request(self, parts: tuple[str, ...], caller: str, **more: Any) -> Request:
        if self.n_probs:
            raise BadRequest("'n_probs' is not supported here.", "Use 'logprobs' of /v1/completions.")
        return Request(
            parts,
            sampling=self._sampling(),
            document_id=session_key(self.session),
            caller=self.session or caller,
            deadline_s=max(0, self.t_max_predict_ms) / 1000 or None,
            **more,
        )

    def _stop(self, dedent_below: int | None = None) -> Stop:
        return Stop(self._max_tokens, dedent_below=dedent_below, strings=strings_of(self.stop))


class Extra(Body):
    """A chunk of another file. The model is shown it, and answers that repeat it come faster."""

    text: fields.Text = ""
    filename: fields.Path = ""


class InfillRequest(Generation):
    """As llama.cpp's. `prompt` is the cursor's line up to the cursor. Sentinels in the fields are plain text."""

    input_prefix: fields.Text = ""
    input_suffix: fields.Text = ""
    prompt: fields.Text = ""
    input_extra: Annotated[tuple[Extra, ...], Field(max_length=1000)] = ()
    n_indent: Annotated[int, Field(ge=0, le=1000, description="a line that is indented less ends the answer")] = 0

    def request(self, caller: str) -> Request:
        return self._request(
            parts_of(self.input_prefix + self.prompt, self.input_suffix),
            caller,
            stop=self._stop(self.n_indent or None),
            related_files=tuple(extra.text for extra in self.input_extra),
            context_files=tuple(ContextFile(extra.filename, extra.text) for extra in self.input_extra if extra.text),
        )


class LlamaCppRequest(Generation):
    """As llama.cpp's. The prompt is raw: the model's sentinels in it count."""

    prompt: fields.Text | Ids | Annotated[tuple[fields.Text | Ids, ...], Field(min_length=1, max_length=MAX_PROMPTS)]

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        return self.prompt if self.is_list else (self.prompt,)  # type: ignore[return-value]

    @property
    def is_list(self) -> bool:
        """Whether the answer is a list."""
        return not isinstance(self.prompt, str) and not isinstance(self.prompt[0], int)

    def requests(self, caller: str) -> list[Request]:
        if self.stream and len(self.prompts) > 1:
            raise BadRequest("Several prompts are not streamed.", "Omit 'stream', or send one prompt.")
        return [self._completion(prompt, caller) for prompt in self.prompts]

    def _completion(self, prompt: str | tuple[int, ...], caller: str) -> Request:
        if isinstance(prompt, str):
            return self._request((prompt,), caller, stop=self._stop(), raw=Raw.YES)
        return self._request(("",), caller, stop=self._stop(), ids=prompt)


class TokenizeRequest(Body):
    content: Annotated[str, Field(max_length=500_000)] = ""
    add_special: Annotated[bool, Field(description="prepend the model's beginning-of-text token")] = False
    parse_special: Annotated[bool, Field(description="parse special tokens in the text")] = True
    with_pieces: bool = False


class DetokenizeRequest(Body):
    tokens: Annotated[tuple[_Id, ...], Field(max_length=200_000)] = ()


def _bias(bias: float | bool) -> float:
    """The bias in logits: `false` means never, `true` changes nothing."""
    return (0.0 if bias else -1000.0) if isinstance(bias, bool) else bias
