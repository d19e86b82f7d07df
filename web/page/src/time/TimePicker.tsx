// The time range: typed, chosen, zoomed, panned; the zone; the refresh.

import { useRef, useState } from 'preact/hooks';
import { useKeys } from '../keyboard';
import { setParams } from '../state/location';
import { serverNow } from '../state/session';
import { range, refresh, reloads, setRange, zone } from '../state/view';
import { Icon } from '../ui/icons';
import { Menu } from '../ui/Menu';
import { describeRange, fullTime, zoneName } from './format';
import { HINT, pan, parseRange, PRESETS, resolveRange, zoom } from './range';

const REFRESHES: [number, string][] = [[0, 'Off'], [5, '5 s'], [10, '10 s'], [30, '30 s'], [60, '1 min'], [300, '5 min']];

export function TimePicker({ onReload }: { onReload?: () => void }) {
  const opener = useRef<{ open?: () => void }>({}).current;
  const step = (change: 'in' | 'out' | 'back' | 'forth') => {
    const now = serverNow();
    if (change === 'in' || change === 'out') setRange(zoom(range.peek(), change === 'in' ? 0.5 : 2, now));
    else setRange(pan(range.peek(), change === 'back' ? -0.5 : 0.5, now));
  };
  const reload = () => (onReload ? onReload() : void reloads.value++);
  useKeys('Time', [
    { keys: 'p', label: 'Choose the time range', run: () => opener.open?.() },
    { keys: '[', label: 'Half a range back', run: () => step('back') },
    { keys: ']', label: 'Half a range forward', run: () => step('forth') },
    { keys: '+ / =', label: 'Half the range', run: () => step('in') },
    { keys: '-', label: 'Twice the range', run: () => step('out') },
    { keys: 'r', label: 'Fetch anew', run: reload },
    { keys: 'u', label: 'UTC or local time', run: toggleZone },
  ]);
  const now = serverNow();
  return (
    <div class="time-picker">
      <button type="button" class="button" aria-label="Half a range back" title="Back ( [ )" onClick={() => step('back')}><Icon name="left" /></button>
      <Menu
        label={`Time range: ${describeRange(range.value, now, zone.value)}`} align="right" panelClass="time-panel" opener={opener}
        button={<><Icon name="clock" /><span>{describeRange(range.value, now, zone.value)}</span></>}
      >
        {(close) => <Panel close={close} />}
      </Menu>
      <button type="button" class="button" aria-label="Half a range forward" title="Forward ( ] )" onClick={() => step('forth')}><Icon name="right" /></button>
      <button type="button" class="button wide-only" aria-label="Twice the range" title="Zoom out ( - )" onClick={() => step('out')}><Icon name="zoomout" /></button>
      <button type="button" class="button" title="Zone in which times are read and shown ( u )" aria-label={`Times are ${zone.value === 'utc' ? 'UTC' : 'local'}; change`} onClick={toggleZone}>
        {zone.value === 'utc' ? 'UTC' : 'Local'}
      </button>
      <button type="button" class="button" aria-label="Fetch anew" title="Fetch anew ( r )" onClick={reload}><Icon name="refresh" /></button>
      <Menu label={refresh.value ? `Auto refresh: ${label(refresh.value)}` : 'Auto refresh'} align="right" button={<>{refresh.value ? <span class="live-dot" /> : null}<span>{refresh.value ? label(refresh.value) : 'Auto'}</span><Icon name="chevron" /></>}>
        {(close) => REFRESHES.map(([seconds, text]) => (
          <button type="button" key={seconds} class={seconds === refresh.value ? 'item chosen' : 'item'} aria-pressed={seconds === refresh.value} onClick={() => { setParams({ refresh: seconds ? `${seconds}s` : undefined }, true); close(); }}>
            {text}
          </button>
        ))}
      </Menu>
    </div>
  );
}

function label(seconds: number): string {
  return REFRESHES.find(([s]) => s === seconds)?.[1] ?? `${seconds} s`;
}

export function toggleZone(): void {
  setParams({ tz: zone.peek() === 'utc' ? undefined : 'utc' }, true);
}

function Panel({ close }: { close: () => void }) {
  const [text, setText] = useState('');
  const now = serverNow();
  const parsed = text.trim() ? parseRange(text, now, zone.value) : undefined;
  const [from, to] = resolveRange(parsed && 'range' in parsed ? parsed.range : range.value, now);
  const submit = (event: Event) => {
    event.preventDefault();
    if (!parsed || !('range' in parsed)) return;
    setRange(parsed.range);
    close();
  };
  const iso = (at: number) => fullTime(new Date(at).toISOString(), zone.value).replace(/\.000 /, ' ');
  return (
    <form onSubmit={submit}>
      <label class="field">
        <span>Type a range</span>
        <input
          data-autofocus value={text} placeholder="2h · yesterday 14:00-15:00 · 25 Nov" spellcheck={false} autocomplete="off"
          aria-invalid={parsed !== undefined && 'error' in parsed} aria-describedby="time-meaning" onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <p id="time-meaning" class={parsed && 'error' in parsed ? 'meaning bad' : 'meaning'} aria-live="polite">
        {parsed && 'error' in parsed ? parsed.error : <>{iso(from)}<br />{iso(to)}</>}
      </p>
      <div class="presets">
        {PRESETS.map((preset) => (
          <button type="button" key={preset} class={range.value.from === `now-${preset}` && range.value.to === 'now' ? 'item chosen' : 'item'} onClick={() => { setRange({ from: `now-${preset}`, to: 'now' }); close(); }}>
            {describeRange({ from: `now-${preset}`, to: 'now' }, now, zone.value)}
          </button>
        ))}
        {['today', 'yesterday', 'this week', 'last week'].map((word) => {
          const whole = parseRange(word, now, zone.value);
          return 'range' in whole && (
            <button type="button" key={word} class="item" onClick={() => { setRange(whole.range); close(); }}>
              {word.charAt(0).toUpperCase() + word.slice(1)}
            </button>
          );
        })}
      </div>
      <p class="dim small">{HINT}. Times are {zoneName(now, zone.value)}.</p>
    </form>
  );
}
