// The search box: one text, coloured, completed by the server, with the error under its place.

import { useEffect, useRef, useState } from 'preact/hooks';
import { get, isAbort, type Problem } from '../api/client';
import type { Completions, Suggestion } from '../api/types';
import { useKeys } from '../keyboard';
import { readRecent } from '../state/session';
import { current, over } from '../state/view';
import { compact } from '../time/format';
import { Icon } from '../ui/icons';
import { CheatSheet } from './CheatSheet';
import { tokens } from './tokens';

/** Typing faster than this asks for no completion. */
const COMPLETE_AFTER_MS = 90;
const OPTIONS_SHOWN = 12;

interface Props {
  value: string;
  onSubmit: (q: string) => void;
  problem: Problem | undefined;
  placeholder: string;
  busy?: boolean;
}

// ARIA has no multi-line combobox, and Preact's types know that; the text is one line unless the
// user breaks it, and screen readers read the list of suggestions only for a combobox.
const COMBOBOX = { role: 'combobox' } as Record<string, string>;

interface Offer {
  start: number;
  end: number;
  suggestions: (Suggestion & { recent?: boolean })[];
}

export function SearchBox({ value, onSubmit, problem, placeholder, busy }: Props) {
  const [text, setText] = useState(value);
  const [offer, setOffer] = useState<Offer>();
  const [active, setActive] = useState(-1);
  const [helping, setHelping] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const asked = useRef<AbortController | undefined>(undefined);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => setText(value), [value]);
  useEffect(() => () => {
    clearTimeout(timer.current);
    asked.current?.abort();
  }, []);
  useKeys('Search', [
    { keys: '/', label: 'Search', run: () => area.current?.select() },
  ]);

  const close = () => {
    clearTimeout(timer.current);
    asked.current?.abort();
    setOffer(undefined);
    setActive(-1);
  };
  const complete = (q: string, at: number) => {
    clearTimeout(timer.current);
    asked.current?.abort();
    timer.current = setTimeout(async () => {
      const controller = new AbortController();
      asked.current = controller;
      try {
        const window = over(current.peek());
        const answer = await get<Completions>('complete', { ...window, q, at, size: OPTIONS_SHOWN }, controller.signal);
        if (controller.signal.aborted) return;
        setOffer(answer.suggestions.length ? answer : undefined);
        setActive(-1);
      } catch (error) {
        // Completion is a convenience: without it one types on.
        if (!isAbort(error)) setOffer(undefined);
      }
    }, COMPLETE_AFTER_MS);
  };
  const offerRecent = () => {
    const suggestions = readRecent().filter((q) => q !== value).slice(0, OPTIONS_SHOWN)
      .map((q) => ({ text: q, kind: 'value' as const, recent: true }));
    if (suggestions.length) setOffer({ start: 0, end: text.length, suggestions });
    else complete('', 0);
  };
  const take = (suggestion: Suggestion & { recent?: boolean }) => {
    if (!offer) return;
    if (suggestion.recent) {
      setText(suggestion.text);
      close();
      onSubmit(suggestion.text);
      return;
    }
    const after = text.slice(offer.end);
    // A field wants its value next, a value the next word.
    const inserted = suggestion.kind === 'field' && !/[:<>=]$/.test(suggestion.text) ? `${suggestion.text}:` : suggestion.kind === 'value' ? `${suggestion.text}${after.startsWith(' ') ? '' : ' '}` : suggestion.text;
    const next = text.slice(0, offer.start) + inserted + after.replace(/^:/, suggestion.kind === 'field' ? '' : ':');
    const caret = offer.start + inserted.length;
    setText(next);
    close();
    requestAnimationFrame(() => {
      area.current?.focus();
      area.current?.setSelectionRange(caret, caret);
      if (suggestion.kind !== 'value') complete(next, caret);
    });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const n = offer?.suggestions.length ?? 0;
    const chosen = offer?.suggestions[active];
    if (n && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      event.preventDefault();
      setActive((active + (event.key === 'ArrowDown' ? 1 : active < 0 ? n : n - 1) + (active < 0 && event.key === 'ArrowUp' ? -1 : 0)) % n);
    } else if (event.key === 'Tab' && offer && n && !event.shiftKey && (active >= 0 || text.length)) {
      event.preventDefault();
      take(chosen ?? (offer.suggestions[0] as Suggestion));
    } else if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      if (chosen) take(chosen);
      else {
        close();
        onSubmit(text.trim());
      }
    } else if (event.key === 'Escape') {
      if (offer) close();
      else area.current?.blur();
      event.preventDefault();
    } else if (event.key === 'ArrowDown' && !n) {
      event.preventDefault();
      if (text) complete(text, area.current?.selectionStart ?? text.length);
      else offerRecent();
    }
  };
  const position = problem?.position;
  const isCurrent = text.trim() === value;
  const shown = isCurrent && position !== undefined ? Math.min(position, text.length) : undefined;
  const length = Math.max(problem?.document.length ?? 1, 1);
  return (
    <div class={`search ${problem && isCurrent ? 'wrong' : ''}`}>
      <div class="search-line">
        <Icon name="search" />
        <div class="search-text">
          <div class="search-paint" aria-hidden="true">
            {paint(text, shown, length)}{text.endsWith('\n') ? '\n ' : ''}
          </div>
          <textarea
            ref={area} rows={1} value={text} spellcheck={false} autocapitalize="off" autocomplete="off" placeholder={placeholder}
            aria-label="Search" {...COMBOBOX} aria-expanded={offer !== undefined} aria-controls="search-options" aria-autocomplete="list"
            aria-activedescendant={active >= 0 ? `search-option-${active}` : undefined}
            aria-invalid={problem !== undefined && isCurrent} aria-describedby={problem ? 'search-problem' : undefined}
            onInput={(event) => {
              setText(event.currentTarget.value);
              complete(event.currentTarget.value, event.currentTarget.selectionStart);
            }}
            onKeyDown={onKeyDown}
            onBlur={close}
          />
        </div>
        {text && <button type="button" class="button quiet" aria-label="Clear the search" title="Clear" onClick={() => { setText(''); onSubmit(''); area.current?.focus(); }}><Icon name="close" /></button>}
        <button type="button" class="button quiet" aria-label="How to search" title="How to search" onClick={() => setHelping(true)}><Icon name="help" /></button>
        <button type="button" class="button primary" onClick={() => { close(); onSubmit(text.trim()); }} aria-busy={busy}>Search</button>
      </div>
      {offer && (
        <ul class="options" id="search-options" role="listbox" aria-label="Suggestions">
          {offer.suggestions.map((s, i) => (
            <li
              key={`${s.kind} ${s.text}`} id={`search-option-${i}`} role="option" aria-selected={i === active} class={i === active ? 'active' : ''}
              onPointerDown={(event) => event.preventDefault()} onClick={() => take(s)}
            >
              <span class={`kind ${s.kind}`}>{s.recent ? '↺' : s.kind === 'field' ? 'ƒ' : s.kind === 'operator' ? '∘' : '='}</span>
              <span class="what">{s.label ?? s.text}</span>
              <span class="dim">{s.count !== undefined ? compact(s.count) : s.type ?? ''}</span>
            </li>
          ))}
          <li class="hint" role="presentation">↑↓ choose · Tab or Enter take · Esc close</li>
        </ul>
      )}
      {problem && isCurrent && (
        <div class="search-problem" id="search-problem" role="alert">
          {shown !== undefined && !text.includes('\n') && <pre class="caret" aria-hidden="true">{' '.repeat(shown)}{'^'.repeat(Math.min(length, Math.max(text.length - shown, 1)))}</pre>}
          <span>{problem.message}</span>{problem.document.hint && <span class="dim"> {problem.document.hint}</span>}
        </div>
      )}
      {helping && <CheatSheet onClose={() => setHelping(false)} onTry={(q) => { setHelping(false); onSubmit(q); }} />}
    </div>
  );
}

/** The text in coloured pieces; the wrong part is underlined. */
function paint(text: string, position: number | undefined, length: number) {
  return tokens(text).flatMap(({ kind, start, end }) => {
    if (position === undefined || end <= position || start >= position + length) return [<span key={start} class={`q-${kind}`}>{text.slice(start, end)}</span>];
    const from = Math.max(start, position);
    const to = Math.min(end, position + length);
    return [
      <span key={start} class={`q-${kind}`}>{text.slice(start, from)}</span>,
      <span key={`${start} wrong`} class={`q-${kind} q-wrong`}>{text.slice(from, to)}</span>,
      <span key={`${start} rest`} class={`q-${kind}`}>{text.slice(to, end)}</span>,
    ];
  });
}
