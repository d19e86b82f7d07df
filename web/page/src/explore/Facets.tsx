// The most frequent values of the fields that matter, each a filter, and all other fields.

import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { get } from '../api/client';
import type { Field, Values } from '../api/types';
import { clause, filteredValues, hasClause, toggleFilter } from '../query/tokens';
import { resource } from '../state/resource';
import { setParams } from '../state/location';
import { foldedFacets, info } from '../state/session';
import { current, over, query, setQuery } from '../state/view';
import { levelOf } from '../text/document';
import { compact, count } from '../time/format';
import { Icon } from '../ui/icons';
import { Change } from './Chart';
import { columns, earlierFacets, extraFacets, facets, isComparing } from './data';

const fields = resource<{ fields: Field[] }>();
const filter = signal('');
const allOpen = signal(false);

/** The name by which people call the field. */
export function shortName(field: string): string {
  // `message` and `tags` are short as they are, whatever else they are called.
  if (!field.includes('.')) return field;
  const aliases = info.value?.aliases ?? {};
  const names = Object.keys(aliases).filter((name) => aliases[name] === field);
  return names.sort((a, b) => (field.endsWith(a) ? 0 : 1) - (field.endsWith(b) ? 0 : 1))[0] ?? field.replace(/^(attributes|kubernetes)\./, '').replace(/\.name$/, '');
}

export function FacetPane() {
  const answer = facets.data.value;
  return (
    <aside class="facets" aria-label="Filter by field">
      {answer?.facets.map((facet) => <Facet key={facet.field} facet={facet} />)}
      <AllFields />
    </aside>
  );
}

function Facet({ facet }: { facet: Values }) {
  const folded = foldedFacets.value.split(',').filter(Boolean);
  const isFolded = folded.includes(facet.field);
  const name = shortName(facet.field);
  const most = facet.values[0]?.count ?? 1;
  const isExtra = extraFacets.value.includes(facet.field);
  const before = isComparing.value ? earlierFacets.data.value?.facets.find((f) => f.field === facet.field) : undefined;
  // A value that is filtered for, or left out, stays in sight even when nothing matches it.
  const found = new Set(facet.values.map(({ value }) => String(value)));
  const filtered = filteredValues(query.value, name).filter((value) => !found.has(value));
  const values: Values['values'] = [...facet.values, ...filtered.map((value) => ({ value, count: 0 }))];
  if (!values.length && !isExtra) return null;
  return (
    <section class="facet">
      <h3>
        <button type="button" class="facet-head" aria-expanded={!isFolded} title={facet.field} onClick={() => { foldedFacets.value = (isFolded ? folded.filter((f) => f !== facet.field) : [...folded, facet.field]).join(','); }}>
          <Icon name={isFolded ? 'right' : 'chevron'} />{name}
        </button>
        {isExtra && <button type="button" class="button quiet" aria-label={`Remove ${name} from this list`} onClick={() => setParams({ facets: extraFacets.peek().filter((f) => f !== facet.field).join(',') }, true)}><Icon name="close" /></button>}
      </h3>
      {!isFolded && (
        <ul>
          {values.map(({ value, count: n }) => {
            const text = String(value);
            const is = hasClause(query.value, clause(name, text, false));
            const isNot = hasClause(query.value, clause(name, text, true));
            const old = before?.values.find((v) => v.value === value)?.count ?? 0;
            return (
              <li key={text} class={is ? 'value is' : isNot ? 'value isnt' : 'value'}>
                <span class="bar" style={{ width: `${Math.max((n / most) * 100, 1)}%` }} />
                <button type="button" class="pick" aria-pressed={is} title={`${text}: ${count(n)}`} onClick={() => setQuery(toggleFilter(query.peek(), name, text, false))}>
                  {facet.field === 'log.level' && <i class={`swatch level-${levelOf(text)}`} />}
                  <span class="text">{text}</span>{before && <Change now={n} before={old} isBad={facet.field === 'log.level' && /^(warn|error|fatal)$/.test(levelOf(text))} />}<span class="n">{compact(n)}</span>
                </button>
                <button type="button" class="not" aria-pressed={isNot} aria-label={`Not ${text}`} title={`Leave out ${text}`} onClick={() => setQuery(toggleFilter(query.peek(), name, text, true))}><Icon name="minus" /></button>
              </li>
            );
          })}
          {facet.other > 0 && <li class="rest dim">{compact(facet.other)} lines with other values</li>}
          {!values.length && <li class="rest dim">no values in this range</li>}
        </ul>
      )}
    </section>
  );
}

/** Every field there is: as a column, or among the facets. */
function AllFields() {
  const window = current.value;
  const key = `${window.q}\n${window.from}`;
  const isOpen = allOpen.value;
  useEffect(() => {
    if (isOpen) void fields.load((signal) => get('fields', { ...over(window), counts: true }, signal));
  }, [isOpen, key]);
  const wanted = filter.value.toLowerCase();
  const list = (fields.data.value?.fields ?? []).filter((f) => (f.count ?? 1) > 0 && (f.name.toLowerCase().includes(wanted) || f.alias?.toLowerCase().includes(wanted)));
  return (
    <section class="facet">
      <h3><button type="button" class="facet-head" aria-expanded={isOpen} onClick={() => { allOpen.value = !allOpen.value; }}><Icon name={isOpen ? 'chevron' : 'right'} />All fields</button></h3>
      {isOpen && (
        <>
          <input class="facet-filter" aria-label="Find a field" placeholder="Find a field" value={filter.value} onInput={(event) => { filter.value = event.currentTarget.value; }} />
          <ul>
            {list.slice(0, 200).map((f) => (
              <li key={f.name} class="value">
                <button type="button" class="pick" disabled={!f.aggregatable} title={`${f.name}, ${f.type}: show its values`} onClick={() => { if (!extraFacets.peek().includes(f.name)) setParams({ facets: [...extraFacets.peek(), f.name].join(',') }, true); }}>
                  <span class="text">{f.name}</span><span class="n">{f.count === undefined ? f.type : compact(f.count)}</span>
                </button>
                <button type="button" class="not" aria-label={`${f.name} as a column`} aria-pressed={columns.value.includes(f.name)} title="Show as a column" onClick={() => toggleColumn(f.name)}><Icon name="columns" /></button>
              </li>
            ))}
            {!list.length && !fields.loading.value && <li class="rest dim">no such field in this range</li>}
          </ul>
        </>
      )}
    </section>
  );
}

/** Shows the field as a column, before the message, or takes the column away. */
export function toggleColumn(name: string): void {
  const now = columns.peek();
  if (now.includes(name)) return setColumns(now.filter((c) => c !== name));
  const at = now.indexOf('message');
  setColumns(at < 0 ? [...now, name] : [...now.slice(0, at), name, ...now.slice(at)]);
}

export function setColumns(next: string[]): void {
  const list = next.length ? next : ['message'];
  const isDefault = list.join(',') === 'service.name,message';
  setParams({ cols: isDefault ? undefined : list.join(',') }, true);
}
