// Where the page is: the path and parameters of the address bar are the only place where a view's
// state lives, so that back, forward, reload and a link sent to a colleague all show the same.

import { signal } from '@preact/signals';

export interface Location {
  path: string;
  params: URLSearchParams;
}

export type Patch = Record<string, string | undefined>;

function read(): Location {
  return { path: window.location.pathname, params: new URLSearchParams(window.location.search) };
}

export const location = signal<Location>({ path: '/', params: new URLSearchParams() });

/** Follows back and forward; called once. */
export function startLocation(): void {
  location.value = read();
  window.addEventListener('popstate', () => {
    location.value = read();
  });
}

/** Parameters as they would be after a change; undefined and empty ones go. */
export function patched(params: URLSearchParams, patch: Patch): URLSearchParams {
  const out = new URLSearchParams(params);
  for (const [name, value] of Object.entries(patch)) {
    if (value === undefined || value === '') out.delete(name);
    else out.set(name, value);
  }
  return out;
}

/** Path and parameters as an address. Commas, colons and slashes stay readable: people read and edit these. */
export function href(path: string, params: URLSearchParams): string {
  const text = params.toString().replace(/%2C/gi, ',').replace(/%3A/gi, ':').replace(/%2F/gi, '/');
  return text ? `${path}?${text}` : path;
}

/** Goes to another view or state. `replace` leaves no step for the back button. */
export function navigate(path: string, params: URLSearchParams, replace = false): void {
  const url = href(path, params);
  if (url === href(location.value.path, location.value.params)) return;
  if (replace) window.history.replaceState(null, '', url);
  else window.history.pushState(null, '', url);
  location.value = { path, params };
}

/** Changes parameters of this view. */
export function setParams(patch: Patch, replace = false): void {
  navigate(location.value.path, patched(location.value.params, patch), replace);
}

/** A parameter of the current view, empty when it is not there. */
export function param(name: string): string {
  return location.value.params.get(name) ?? '';
}
