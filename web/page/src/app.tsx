// The frame around all views: navigation, theme, help.

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { Dashboards } from './dashboards/Dashboards';
import { Explore } from './explore/Explore';
import { groups, useKeys } from './keyboard';
import { Live } from './live/Live';
import { RulesView } from './rules/Rules';
import { href, location, navigate } from './state/location';
import { info, me, offline, shortcuts, startSession, theme } from './state/session';
import { carried } from './state/view';
import { Dialog } from './ui/Dialog';
import { Icon, Mark } from './ui/icons';
import { Toasts } from './ui/toast';

const helping = signal(false);

const VIEWS = [
  { path: '/explore', name: 'Explore', key: 'e', keeps: ['q', 'from', 'to', 'tz', 'cols', 'refresh'], view: Explore },
  { path: '/live', name: 'Live', key: 'l', keeps: ['q', 'tz', 'cols'], view: Live },
  { path: '/dashboards', name: 'Dashboards', key: 'd', keeps: ['from', 'to', 'tz', 'refresh'], view: Dashboards },
  { path: '/rules', name: 'Rules', key: 'r', keeps: ['from', 'to', 'tz'], view: RulesView },
];

const THEMES = ['system', 'light', 'dark'];

export function App() {
  useEffect(() => {
    document.documentElement.dataset.theme = theme.value;
  }, [theme.value]);
  useEffect(() => {
    if (!offline.value) return;
    const timer = setInterval(() => void startSession(), 3_000);
    return () => clearInterval(timer);
  }, [offline.value !== undefined]);
  useKeys('Everywhere', [
    ...VIEWS.map(({ path, name, key, keeps }) => ({ keys: `g ${key}`, label: `Go to ${name}`, run: () => navigate(path, carried(keeps)) })),
    { keys: '?', label: 'This help', run: () => { helping.value = true; } },
  ]);
  const path = location.value.path;
  const active = VIEWS.find((v) => path === v.path || path.startsWith(`${v.path}/`)) ?? (path === '/' ? VIEWS[0] : undefined);
  useEffect(() => {
    document.title = active ? `${active.name} · Tailrace` : 'Tailrace';
  }, [active]);
  const View = active?.view;
  return (
    <>
      <a class="skip" href="#main">Skip to the content</a>
      <header class="top">
        <a class="brand" href="/explore" onClick={(event) => follow(event, '/explore', new URLSearchParams())}><Mark />Tailrace</a>
        <nav aria-label="Views">
          {VIEWS.map((v) => {
            const params = carried(v.keeps);
            return (
              <a key={v.path} href={href(v.path, params)} aria-current={v === active ? 'page' : undefined} title={`g ${v.key}`} onClick={(event) => follow(event, v.path, params)}>
                {v.name}
              </a>
            );
          })}
        </nav>
        <span class="space" />
        {info.value?.store && <span class="dim small wide-only" title={`Tailrace ${info.value.version}`}>{info.value.store}</span>}
        {me.value?.user && <span class="dim small wide-only" title={`Role: ${me.value.role}`}>{me.value.user}</span>}
        <button
          type="button" class="button quiet" aria-label={`Colours: ${theme.value}; change`} title={`Colours: ${theme.value}`}
          onClick={() => { theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? 'system'; }}
        >
          <Icon name={theme.value === 'dark' ? 'moon' : theme.value === 'light' ? 'sun' : 'system'} />
        </button>
        <button type="button" class="button quiet" aria-label="Help: keys" title="Keys ( ? )" onClick={() => { helping.value = true; }}><Icon name="help" /></button>
      </header>
      {offline.value && <div class="offline" role="alert">{offline.value.status === 401 ? 'You are not signed in, or no longer: reload the page.' : `${offline.value.message} Trying again every few seconds.`}</div>}
      {View ? <View /> : <NotFound path={path} />}
      {helping.value && <Help />}
      <Toasts />
    </>
  );
}

/** Goes on within the page, unless the user wants a new tab. */
export function follow(event: MouseEvent, path: string, params: URLSearchParams): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  navigate(path, params);
}

function NotFound({ path }: { path: string }) {
  return (
    <main class="empty" id="main">
      <h1>There is no page {path}</h1>
      <p><a href="/explore" onClick={(event) => follow(event, '/explore', new URLSearchParams())}>Explore the logs</a></p>
    </main>
  );
}

function Help() {
  return (
    <Dialog title="Keys" onClose={() => { helping.value = false; }}>
      <label class="check">
        <input type="checkbox" checked={shortcuts.value === 'on'} onChange={(event) => { shortcuts.value = event.currentTarget.checked ? 'on' : 'off'; }} />
        Single keys work outside of text boxes
      </label>
      <div class="keys">
        {groups.value.map((group) => (
          <section key={group.title}>
            <h3>{group.title}</h3>
            <dl>
              {group.keys.map((key) => (
                <div key={key.keys}>
                  <dt>{key.keys.split(' / ').map((alternative) => <span key={alternative}>{alternative === ' ' ? <kbd>Space</kbd> : alternative.split(' ').map((k) => <kbd key={k}>{k.replace('Arrow', '')}</kbd>)}</span>)}</dt>
                  <dd>{key.label}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
