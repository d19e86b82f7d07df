// Requests to the aggregator that served the page. Each can be aborted, and each failure is a
// `Problem` that says what was wrong in words for the user.

import { EventParser, type ServerEvent } from './sse';

export type Parameters = Record<string, string | number | boolean | undefined>;

/** The fields of an RFC 9457 problem document that the page uses. */
interface ProblemDocument {
  title?: string;
  detail?: string;
  status?: number;
  type?: string;
  parameter?: string;
  position?: number;
  length?: number;
  hint?: string;
}

/** A request that did not succeed. */
export class Problem extends Error {
  /** 0 when no answer came at all. */
  readonly status: number;
  readonly document: ProblemDocument;

  constructor(document: ProblemDocument, status: number) {
    super(document.detail ?? document.title ?? `the server answered ${status}`);
    this.name = 'Problem';
    this.status = status;
    this.document = document;
  }

  /** Where in the query the error is, for the mark under the search box. */
  get position(): number | undefined {
    return this.document.parameter === undefined || this.document.parameter === 'q' ? this.document.position : undefined;
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

/** The address of a request; parameters that are undefined or empty are left out. */
export function address(path: string, parameters: Parameters = {}): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') query.set(name, String(value));
  }
  const text = query.toString();
  return `/api/v1/${path}${text ? `?${text}` : ''}`;
}

async function request(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem({ title: 'No answer', detail: 'The aggregator does not answer. Is it running, and is the network there?' }, 0);
  }
  if (response.ok) return response;
  let document: ProblemDocument = {};
  try {
    if (/json/.test(response.headers.get('content-type') ?? '')) document = (await response.json()) as ProblemDocument;
  } catch (error) {
    if (isAbort(error)) throw error;
    // A body that is cut or is no JSON: the status has to do.
  }
  throw new Problem(document, response.status);
}

/** `GET` of a JSON answer. */
export async function get<T>(path: string, parameters: Parameters, signal?: AbortSignal): Promise<T> {
  const response = await request(address(path, parameters), { signal: signal ?? null, headers: { accept: 'application/json' } });
  return (await response.json()) as T;
}

/** `POST`, `PUT` or `DELETE` with a JSON body. */
export async function send<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await request(address(path), {
    method,
    signal: signal ?? null,
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  });
  return (response.status === 204 ? undefined : await response.json()) as T;
}

/** Reads an endless stream of events until it ends or is aborted. */
export async function events(path: string, parameters: Parameters, signal: AbortSignal, each: (event: ServerEvent) => void, opened: () => void): Promise<void> {
  const response = await request(address(path, parameters), { signal, headers: { accept: 'text/event-stream' } });
  opened();
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  const parser = new EventParser();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const event of parser.push(value)) each(event);
  }
}
