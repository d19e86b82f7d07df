// Stack traces, folded: what the own program did stays in sight, runs of frames of frameworks and
// of the language's library collapse into one line that can be opened.

/** Lines of one kind that stand together. */
export interface Block {
  kind: 'head' | 'own' | 'library';
  lines: string[];
}

/** What begins a frame, by language. */
const FRAMES: RegExp[] = [
  /^\s+at /, // Java, Kotlin, Scala, JavaScript, .NET
  /^\s+File "[^"]+", line \d+/, // Python
  /^\s*\.\.\. \d+ (more|common frames omitted)/, // Java, the end that a cause shares
  /^\s+\/?\S+\.go:\d+/, // Go, the second line of a frame
  /^\s*(from )?\S+\.rb:\d+:in /, // Ruby
  /^#\d+ /, // PHP, Dart, gdb
  /^\s+\d+: +/, // Rust
];

/** Frames that are seldom the reason: the language's library, frameworks, generated code. */
const LIBRARY: RegExp[] = [
  /^\s+at (java|javax|jakarta|jdk|sun|com\.sun|kotlin|kotlinx|scala|groovy)\./,
  /^\s+at (java\.\S+|jdk\.\S+)\/\S/,
  /^\s+at (org\.springframework|org\.apache|org\.hibernate|org\.jboss|org\.eclipse|org\.junit|io\.netty|io\.undertow|io\.grpc|reactor|akka|com\.zaxxer|com\.fasterxml|com\.google|okhttp3|retrofit2|net\.bytebuddy|org\.postgresql|com\.mysql)\./,
  /\$\$(FastClassBySpringCGLIB|EnhancerBySpringCGLIB|SpringCGLIB|Lambda)/,
  /^\s+at (System|Microsoft|Npgsql)\./,
  /\((node:|internal\/)|at node:|node_modules\//,
  /^\s+File "[^"]*(site-packages|dist-packages|\/lib\/python\d)/,
  /\/(usr\/local\/go|go\/pkg\/mod|usr\/lib\/go)\//,
  /^(runtime|net\/http|internal|reflect|sync|testing)[./]\S*\(/,
  /\/(gems|vendor\/bundle|lib\/ruby)\//,
  /\/vendor\//,
  /^\s+\d+: +(std|core|alloc|tokio|hyper|tower|__rust|rust_)/,
  /^\s*\.\.\. \d+ (more|common frames omitted)/,
];

/** Fewer library frames than this are not worth a fold. */
const LEAST_FOLDED = 3;

/** Whether the text looks like a trace at all: two frames or more. */
export function isTrace(text: string): boolean {
  let frames = 0;
  for (const line of text.split('\n', 200)) {
    if (FRAMES.some((frame) => frame.test(line)) && ++frames >= 2) return true;
  }
  return false;
}

/** Cuts a trace into blocks, in order; joined again they are the trace. */
export function foldTrace(text: string): Block[] {
  const blocks: Block[] = [];
  let last: Block['kind'] = 'head';
  for (const line of text.replace(/\n$/, '').split('\n')) {
    const kind = kindOf(line, last);
    last = kind;
    const block = blocks.at(-1);
    if (block?.kind === kind) block.lines.push(line);
    else blocks.push({ kind, lines: [line] });
  }
  return blocks.reduce<Block[]>((out, block) => {
    const before = out.at(-1);
    const kind = block.kind === 'library' && block.lines.length < LEAST_FOLDED ? 'own' : block.kind;
    if (before?.kind === kind) before.lines.push(...block.lines);
    else out.push({ kind, lines: [...block.lines] });
    return out;
  }, []);
}

function kindOf(line: string, last: Block['kind']): Block['kind'] {
  if (LIBRARY.some((library) => library.test(line))) return 'library';
  if (FRAMES.some((frame) => frame.test(line))) return 'own';
  // Python's source line and Go's arguments belong to the frame before or after them.
  if (/^ {4,}\S/.test(line) && last !== 'head') return last;
  if (/^[\w./*()[\]-]+\(.*\)$/.test(line)) return 'own';
  return 'head';
}

/** What a fold says of its content: `12 frames of org.springframework, java.base`. */
export function foldLabel(lines: string[]): string {
  const owners = new Map<string, number>();
  for (const line of lines) {
    const name = /^\s+at (?:async )?([\w$]+(?:\.[\w$]+)?)/.exec(line)?.[1]
      ?? /(?:site-packages|node_modules|dist-packages|gems|vendor)\/((?:@[\w-]+\/)?[\w-]+)/.exec(line)?.[1]
      ?? /(node:[\w/]+)/.exec(line)?.[1];
    if (name) owners.set(name, (owners.get(name) ?? 0) + 1);
  }
  const top = [...owners].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([name]) => name);
  const count = `${lines.length} ${lines.length === 1 ? 'line' : 'lines'}`;
  return top.length ? `${count} of ${top.join(', ')}` : `${count} of libraries`;
}
