// The query language on one page. Each example can be tried at a press.

import { info } from '../state/session';
import { Dialog } from '../ui/Dialog';

const EXAMPLES: [string, string][] = [
  ['timeout', 'the word, anywhere in the message'],
  ['"connection reset"', 'the words beside each other'],
  ['level:error service:checkout', 'both must hold; a space means “and”'],
  ['level:error OR level:fatal', 'one of them'],
  ['level:(error OR warn)', 'the same, shorter'],
  ['-path:/health', 'not this one'],
  ['NOT (namespace:kube-system OR namespace:monitoring)', 'none of these'],
  ['status>=500', 'compares numbers: > >= < <='],
  ['took:[100 TO 500}', 'from 100, below 500'],
  ['pod:checkout-*', 'any text after; ? is one character'],
  ['url.path:/v[12]\\/orders.*/', 'a regular expression'],
  ['trace.id:*', 'has the field'],
  ['-user.name:*', 'does not have it'],
  ['kubernetes.labels.app:shop', 'any field by its full name'],
];

export function CheatSheet({ onClose, onTry }: { onClose: () => void; onTry: (q: string) => void }) {
  const aliases = Object.entries(info.value?.aliases ?? {});
  return (
    <Dialog title="How to search" onClose={onClose}>
      <table class="sheet">
        <tbody>
          {EXAMPLES.map(([q, meaning]) => (
            <tr key={q}>
              <td><button type="button" class="code-button" title="Try it" onClick={() => onTry(q)}>{q}</button></td>
              <td>{meaning}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {aliases.length > 0 && (
        <details class="aliases">
          <summary>Short names of fields</summary>
          <dl>{aliases.map(([short, full]) => <div key={short}><dt>{short}</dt><dd>{full}</dd></div>)}</dl>
        </details>
      )}
    </Dialog>
  );
}
