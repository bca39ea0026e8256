/** The server: is it ready, and a completion as a stream of events. */

export interface Alternative {
  readonly text: string;
  readonly probability: number;
}

export interface Token extends Alternative {
  readonly alternatives: readonly Alternative[];
}

export interface Piece extends Token {
  readonly candidate: number;
  readonly hole: number;
}

export interface Answer {
  readonly done: true;
  readonly fills: readonly (readonly string[])[];
  readonly model: string;
  readonly finish_reason: string;
  readonly truncated: boolean;
  readonly note?: string;
  readonly usage: {
    readonly prompt_tokens: number;
    readonly reused_tokens: number;
    readonly completion_tokens: number;
    readonly forward_passes: number;
  };
  readonly timings: { readonly queued_s: number; readonly first_token_s: number; readonly total_s: number };
}

export interface Ask {
  readonly data?: string;
  readonly parts?: readonly string[];
  readonly max_tokens: number;
  readonly temperature: number;
  readonly top_p: number;
  readonly n: number;
  readonly path: string;
}

export interface Health {
  readonly status: string;
  readonly model: string;
  readonly message: string;
  readonly progress: number;
}

/** What went wrong, as a sentence; 0 is the status where there was none. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly status = 0,
  ) {
    super(message);
  }
}

const ALTERNATIVES = 5;

/** The state of the model; null when nobody answers. */
export async function health(): Promise<Health | null> {
  try {
    const response = await fetch("/health/ready", { cache: "no-store" });
    return (await response.json()) as Health;
  } catch {
    return null;
  }
}

/** Asks for a completion and tells each piece of it. Throws Failure, or an AbortError when `signal` says so. */
export async function complete(
  ask: Ask,
  token: string,
  signal: AbortSignal,
  tell: (piece: Piece) => void,
): Promise<Answer> {
  const response = await post(ask, token, signal);
  if (!response.ok || !response.body) throw new Failure(await refusal(response), response.status);
  for await (const event of events(response.body, signal)) {
    if (isAnswer(event)) return event;
    if (isError(event)) throw new Failure(event.error);
    tell(event as Piece);
  }
  throw new Failure("The answer broke off.");
}

async function post(ask: Ask, token: string, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  if (token) headers["Authorization"] = `Bearer ${token}`;
  const body = JSON.stringify({ ...ask, stream: true, alternatives: ALTERNATIVES });
  try {
    return await fetch("/", { method: "POST", headers, body, signal });
  } catch (error) {
    throw unlessAborted(error, signal, "The server cannot be reached.");
  }
}

async function refusal(response: Response): Promise<string> {
  try {
    const told: unknown = await response.json();
    if (isError(told)) return told.error;
  } catch {
    // Something between us and the server answered; its status says enough.
  }
  return `The server answered ${response.status}.`;
}

async function* events(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<unknown> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw unlessAborted(error, signal, "The connection broke off.");
      });
      if (done) return;
      const frames = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = frames.pop() ?? "";
      for (const frame of frames) {
        if (frame.startsWith("data: {")) yield JSON.parse(frame.slice("data: ".length));
      }
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

function unlessAborted(error: unknown, signal: AbortSignal, message: string): unknown {
  return signal.aborted ? error : new Failure(message);
}

function isAnswer(event: unknown): event is Answer {
  return typeof event === "object" && event !== null && "done" in event;
}

function isError(event: unknown): event is { error: string } {
  return typeof event === "object" && event !== null && "error" in event && typeof event.error === "string";
}
