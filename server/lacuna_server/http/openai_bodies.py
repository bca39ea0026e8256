"""Request bodies of OpenAI's completions, and the engine requests they stand for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lacuna_inference.api import Raw, Request, Sampling, Stop
from lacuna_inference.errors import BadRequest
from lacuna_server.core.languages import path_for
from lacuna_server.http import fields
from lacuna_server.http.fields import Body
from lacuna_server.http.shared import parts_of, session_key, strings_of

DEFAULT_MAX_TOKENS = 64
MAX_PROMPTS = 64
Ids = Annotated[tuple[Annotated[int, Field(ge=0, le=2**31)], ...], Field(min_length=1, max_length=200_000)]
_Bias = Annotated[float, Field(ge=-100, le=100)]
_Id = Annotated[str, Field(pattern=r"^\d{1,9}$")]


class StreamOptions(Body):
    include_usage: bool = False


class OpenAIRequest(Body):
    """As OpenAI's. `top_k` and `min_p` are as vLLM's; `session`, `path` and `language` are Lacuna's own.

    Without `suffix`, a prompt with the model's sentinels is raw: they count, and it is used unchanged. The default
    temperature is 0. Any `model` is accepted.
    """

    model: Annotated[str, Field(max_length=500)] = ""
    prompt: (
        fields.Text
        | Ids
        | Annotated[tuple[fields.Text, ...], Field(min_length=1, max_length=MAX_PROMPTS)]
        | Annotated[tuple[Ids, ...], Field(min_length=1, max_length=MAX_PROMPTS)]
    ) = ""
    suffix: fields.Text | None = None
    max_tokens: Annotated[int, Field(ge=-1, le=100_000, description=f"-1: {DEFAULT_MAX_TOKENS}")] = DEFAULT_MAX_TOKENS
    temperature: fields.Temperature = 0.0
    top_p: fields.TopP = 1.0
    top_k: fields.TopK = 0
    min_p: fields.MinP = 0.0
    n: fields.Count = 1
    best_of: fields.Count | None = None
    echo: bool = False
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stop: fields.StopText | fields.StopTexts | None = None
    seed: fields.Seed | None = None
    logit_bias: Annotated[dict[_Id, _Bias], Field(max_length=1000)] = {}  # noqa: RUF012
    presence_penalty: fields.Penalty = 0.0
    frequency_penalty: fields.Penalty = 0.0
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: fields.Session | None = None
    session: fields.Session | None = None
    path: fields.Path | None = None
    language: Annotated[str | None, Field(max_length=100)] = None

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        """Each prompt: a text, or token ids."""
        if isinstance(self.prompt, str):
            return (self.prompt,)
        is_list = not isinstance(self.prompt[0], int)
        return self.prompt if is_list else (self.prompt,)  # type: ignore[return-value]

    @property
    def needs_prompt_tokens(self) -> bool:
        """Whether the answer needs the tokens of the prompt, for their log-probabilities or their text."""
        return self.echo and (self.logprobs is not None or not isinstance(self.prompts[0], str))

    def requests(self, caller: str) -> list[Request]:
        """The engine's requests, one for each prompt. Raises BadRequest for fields that conflict."""
        self._validate()
        return [self._request(number, prompt, caller) for number, prompt in enumerate(self.prompts)]

    def _validate(self) -> None:
        several, best = len(self.prompts) > 1, self.best_of
        if best is not None and best < self.n:
            raise BadRequest("'best_of' is less than 'n'.", "Set it to at least 'n'.")
        if self.stream and (several or self.needs_prompt_tokens or (best or 0) > self.n):
            raise BadRequest("Several prompts, 'best_of' and an 'echo' of tokens are not streamed.", "Omit 'stream'.")
        if self.suffix is not None and not all(isinstance(prompt, str) for prompt in self.prompts):
            raise BadRequest("A prompt of token ids has no suffix.", "Send text, or ids that include the sentinels.")

    def _request(self, number: int, prompt: str | tuple[int, ...], caller: str) -> Request:
        key = session_key(self.session, self.user, self.path)
        return Request(
            parts_of(prompt if isinstance(prompt, str) else "", self.suffix),
            path=path_for(self.path, self.language),
            stop=Stop(DEFAULT_MAX_TOKENS if self.max_tokens < 0 else self.max_tokens, strings=strings_of(self.stop)),
            sampling=self._sampling(),
            candidates=self.best_of or self.n,
            distinct=False,
            document_id=f"{key}\n{number}" if key is not None and number else key,
            caller=self.session or self.user or caller,
            raw=self._raw,
            ids=None if isinstance(prompt, str) else prompt,
            top_logprobs=self.logprobs,
            prompt_logprobs=(self.logprobs or 0) if self.needs_prompt_tokens else None,
        )

    @property
    def _raw(self) -> Raw:
        if self.suffix is not None:
            return Raw.NO
        return Raw.YES if self.needs_prompt_tokens else Raw.SENTINELS

    def _sampling(self) -> Sampling:
        return Sampling(
            self.temperature,
            self.top_p,
            fields.seed(self.seed),
            top_k=self.top_k,
            min_p=self.min_p,
            logit_bias=tuple((int(token), bias) for token, bias in self.logit_bias.items()),
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )
