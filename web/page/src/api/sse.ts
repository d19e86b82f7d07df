// Server-sent events from a fetch body. EventSource is not used: it hides the status and the
// problem document of a refused request, and reconnects behind our back.

export interface ServerEvent {
  event: string;
  data: string;
}

/** Collects text in any cuts and gives whole events. */
export class EventParser {
  #rest = '';

  /** The events that this piece of the stream completes. */
  push(piece: string): ServerEvent[] {
    const out: ServerEvent[] = [];
    const text = this.#rest + piece;
    let at = 0;
    for (;;) {
      const end = blankLine(text, at);
      if (!end) break;
      const event = parse(text.slice(at, end[0]));
      if (event) out.push(event);
      at = end[1];
    }
    this.#rest = text.slice(at);
    return out;
  }
}

/** Where the next empty line begins and ends. */
function blankLine(text: string, from: number): [number, number] | undefined {
  const lf = text.indexOf('\n\n', from);
  const crlf = text.indexOf('\r\n\r\n', from);
  if (lf < 0 && crlf < 0) return undefined;
  return crlf < 0 || (lf >= 0 && lf < crlf) ? [lf, lf + 2] : [crlf, crlf + 4];
}

function parse(block: string): ServerEvent | undefined {
  let event = 'message';
  const data: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    // A line that begins with a colon keeps the connection open and says nothing.
    if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
    else if (line.startsWith('event:')) event = line.slice(6).trim();
  }
  return data.length ? { event, data: data.join('\n') } : undefined;
}
