// Explore: search, chart, filters, lines.

import { useEffect } from 'preact/hooks';
import { SearchBox } from '../query/SearchBox';
import { TimePicker } from '../time/TimePicker';
import { chartShown, facetsShown } from '../state/session';
import { param } from '../state/location';
import { query, setQuery } from '../state/view';
import { Busy, Failure } from '../ui/Notice';
import { ExploreChart } from './Chart';
import { ContextDrawer } from './ContextDrawer';
import { hits, search, startExplore, view } from './data';
import { FacetPane } from './Facets';
import { Lines } from './Lines';
import { PatternsView } from './Patterns';
import { Toolbar } from './Toolbar';

export function Explore() {
  useEffect(startExplore, []);
  const problem = search.problem.value;
  const isQueryWrong = problem !== undefined && problem.status === 400;
  return (
    <main class="explore" id="main">
      <h1 class="offscreen">Explore</h1>
      <div class="ask">
        <SearchBox value={query.value} onSubmit={setQuery} problem={isQueryWrong ? problem : undefined} busy={search.loading.value} placeholder="Search: level:error service:checkout &quot;timeout&quot;   ( / )" />
        <TimePicker />
      </div>
      <Busy on={search.loading.value} />
      {chartShown.value === 'on' && !(isQueryWrong && !hits.value.length) && <ExploreChart height={104} />}
      <Toolbar />
      <div class="explore-body">
        {facetsShown.value === 'on' && !isQueryWrong && <FacetPane />}
        <div class="explore-main">
          {problem && !isQueryWrong ? <Failure problem={problem} /> : isQueryWrong && !hits.value.length ? null : view.value === 'patterns' ? <PatternsView /> : <Lines />}
        </div>
      </div>
      {param('context') && <ContextDrawer />}
    </main>
  );
}
