/**
 * The catalogue as live metrics. Guarantees: every label value is from its closed set (anything else becomes `_OTHER`
 * and is counted), no metric outgrows its series budget, no NaN or negative count enters, and what the catalogue
 * calls zero exists at zero from the start.
 *
 * Traps of prom-client 15: exemplars only work through `observe({labels, value, exemplarLabels})` on a histogram
 * (other forms throw or add to an unlabelled series), and rendering as OpenMetrics renames counters in place, so a
 * process serves one content type.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, type OpenMetricsContentType, Registry } from 'prom-client';
import {
  METRICS,
  type LabelValues,
  type MetricDefinition,
  type MetricName,
  OVERFLOW,
  UNMATCHED_ROUTE,
} from './catalogue.ts';

export type LabelsOf<M extends MetricName> = Readonly<Record<keyof (typeof METRICS)[M]['labels'] & string, string>>;
type Labels = Readonly<Record<string, string>>;
type NamesOfKind<K extends MetricDefinition['kind']> = {
  [M in MetricName]: (typeof METRICS)[M] extends { readonly kind: K; readonly source: 'vigia' } ? M : never;
}[MetricName];

/** The closed sets that only the running service knows. */
export interface KnownValues {
  readonly datasets: readonly string[];
  /** Grows until all routes are declared. */
  readonly routes: ReadonlySet<string>;
  /** Reasons a row can be quarantined for. */
  readonly codes: readonly string[];
}

export interface Exemplar {
  readonly trace_id: string;
  readonly span_id: string;
}

interface Child {
  readonly labels: Labels;
  readonly add: (value: number) => void;
}

type Instrument =
  | { readonly kind: 'counter'; readonly metric: Counter }
  | { readonly kind: 'gauge'; readonly metric: Gauge }
  | { readonly kind: 'histogram'; readonly metric: Histogram };

interface Family {
  readonly definition: MetricDefinition;
  readonly instrument: Instrument;
  readonly names: readonly string[];
  readonly closed: readonly (ReadonlySet<string> | undefined)[];
  /** By joined label values as given; holds at most seriesMax children and as many aliases. */
  readonly children: Map<string, Child>;
  readonly overflow: Child;
}

/** What is done to metrics by those who tell of something. */
export type Measures = Pick<Metrics, 'add' | 'set' | 'observe' | 'observeMany' | 'observeWithExemplar' | 'zero'>;

const SEPARATOR = '\u0001';

export class Metrics {
  readonly registry = new Registry<OpenMetricsContentType>();
  readonly #families = new Map<MetricName, Family>();
  readonly #known: KnownValues;

  constructor(known: KnownValues) {
    this.#known = known;
    this.registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    for (const name of Object.keys(METRICS) as MetricName[]) {
      if (METRICS[name].source === 'vigia') this.#families.set(name, makeFamily(METRICS[name], known, this.registry));
    }
    for (const [name, { definition }] of this.#families) if (definition.zero === 'all') this.#zeroAll(name, definition);
    collectDefaultMetrics({ register: this.registry as unknown as Registry });
  }

  add<M extends NamesOfKind<'counter'>>(name: M, labels: LabelsOf<M>, value = 1): void {
    if (value === 0) return;
    if (!(value > 0) || value === Number.POSITIVE_INFINITY) this.#refuse();
    else this.#child(name, labels).add(value);
  }

  set<M extends NamesOfKind<'gauge'>>(name: M, labels: LabelsOf<M>, value: number): void {
    if (!Number.isFinite(value)) this.#refuse();
    else this.#child(name, labels).add(value);
  }

  observe<M extends NamesOfKind<'histogram'>>(name: M, labels: LabelsOf<M>, value: number): void {
    if (!Number.isFinite(value) || value < 0) this.#refuse();
    else this.#child(name, labels).add(value);
  }

  /** The same value `times` times, at the price of one: a message's rows become readable together. */
  observeMany<M extends NamesOfKind<'histogram'>>(name: M, labels: LabelsOf<M>, value: number, times: number): void {
    if (!(times > 0)) return;
    this.observe(name, labels, value);
    if (times === 1 || !Number.isFinite(value) || value < 0) return;
    const { instrument } = this.#family(name);
    if (instrument.kind === 'histogram')
      addObservations(instrument.metric, { labels: this.#child(name, labels).labels, value, times: times - 1 });
  }

  /** The one place that gives an exemplar. */
  observeWithExemplar(
    name: 'httpServerRequestDuration',
    labels: LabelsOf<typeof name>,
    value: number,
    exemplar: Exemplar,
  ): void {
    const { instrument } = this.#family(name);
    if (!Number.isFinite(value) || value < 0) this.#refuse();
    else if (instrument.kind === 'histogram') {
      instrument.metric.observe({
        labels: { ...this.#child(name, labels).labels },
        value,
        exemplarLabels: { ...exemplar },
      });
    }
  }

  /** Makes one label set exist at zero. */
  zero<M extends MetricName>(name: M, labels: LabelsOf<M>): void {
    const { instrument } = this.#family(name);
    const child = this.#child(name, labels);
    switch (instrument.kind) {
      case 'counter':
        instrument.metric.inc({ ...child.labels }, 0);
        break;
      case 'gauge':
        instrument.metric.set({ ...child.labels }, 0);
        break;
      case 'histogram':
        instrument.metric.zero({ ...child.labels });
        break;
    }
  }

  /** The text of a scrape. */
  async render(): Promise<string> {
    const text = await this.registry.metrics();
    // The runtime's event loop gauges have no value between two quick scrapes, and "Nan" is no OpenMetrics number.
    return text.includes(' Nan\n') ? text.replace(/^.* Nan\n/gm, '') : text;
  }

  #family(name: MetricName): Family {
    const family = this.#families.get(name);
    if (family === undefined) throw new Error(`${name} is the runtime's metric.`);
    return family;
  }

  #child(name: MetricName, labels: Labels): Child {
    const family = this.#family(name);
    let key = '';
    for (const label of family.names) key += `${labels[label]}${SEPARATOR}`;
    return family.children.get(key) ?? this.#newChild(family, key, labels);
  }

  #newChild(family: Family, key: string, given: Labels): Child {
    const labels: Record<string, string> = {};
    let foreign = false;
    family.names.forEach((label, index) => {
      const value = given[label] ?? '';
      const closed = family.closed[index];
      const kept = closed === undefined || closed.has(value);
      labels[label] = kept ? value : overflowOf(label);
      if (!kept) {
        foreign = true;
        this.add('labelOverflow', { label });
      }
    });
    if (family.children.size >= family.definition.seriesMax) {
      this.add('labelOverflow', { label: 'series' });
      return family.overflow;
    }
    const child = makeChild(family.instrument, labels);
    // Not remembered: foreign values have no limit, and each of them is to be counted.
    if (!foreign) family.children.set(key, child);
    return child;
  }

  #zeroAll(name: MetricName, definition: MetricDefinition): void {
    for (const labels of combinations(definition.labels, this.#known)) this.zero(name, labels as LabelsOf<typeof name>);
  }

  #refuse(): void {
    this.add('refusedValues', {});
  }
}

function makeFamily(
  definition: MetricDefinition,
  known: KnownValues,
  registry: Registry<OpenMetricsContentType>,
): Family {
  const names = Object.keys(definition.labels);
  const instrument = makeInstrument(definition, registry);
  return {
    definition,
    instrument,
    names,
    closed: Object.values(definition.labels).map((values) => closedSet(values, known)),
    children: new Map(),
    overflow: makeChild(instrument, Object.fromEntries(names.map((label) => [label, overflowOf(label)]))),
  };
}

function makeInstrument(definition: MetricDefinition, registry: Registry<OpenMetricsContentType>): Instrument {
  const { name, help, kind } = definition;
  const base = { name, help, labelNames: Object.keys(definition.labels), registers: [registry] };
  switch (kind) {
    case 'counter':
      return { kind, metric: new Counter(base) };
    case 'gauge':
      return { kind, metric: new Gauge(base) };
    case 'histogram': {
      const buckets = [...(definition.buckets ?? [])];
      // Exemplars change the signature of observe(), so only the one histogram that carries them has them on.
      const enableExemplars = name === METRICS.httpServerRequestDuration.name;
      return { kind, metric: new Histogram({ ...base, buckets, enableExemplars }) };
    }
  }
}

function makeChild(instrument: Instrument, labels: Labels): Child {
  // A copy for the library: it keeps the object it is given.
  const own = { ...labels };
  switch (instrument.kind) {
    case 'counter': {
      const { inc } = instrument.metric.labels(own);
      return { labels, add: inc };
    }
    case 'gauge': {
      const { set } = instrument.metric.labels(own);
      return { labels, add: set };
    }
    case 'histogram': {
      const { observe } = instrument.metric.labels(own);
      return { labels, add: observe };
    }
  }
}

/** The slice of prom-client's histogram that has no public form. A test fails when another version lacks it. */
interface HistogramInside {
  readonly hashMap: Readonly<
    Record<string, { sum: number; count: number; readonly bucketValues: Record<string, number> }>
  >;
  readonly upperBounds: readonly number[];
  readonly sortedLabelNames: readonly string[];
}

function addObservations(
  histogram: Histogram,
  { labels, value, times }: { readonly labels: Labels; readonly value: number; readonly times: number },
): void {
  const inside = histogram as unknown as HistogramInside;
  const entry = inside.hashMap[inside.sortedLabelNames.map((label) => `${label}:${labels[label]},`).join('')];
  if (entry === undefined)
    throw new Error('prom-client keeps its histograms in another way than this version expects.');
  entry.sum += value * times;
  entry.count += times;
  const bound = inside.upperBounds.find((upper) => value <= upper);
  if (bound !== undefined) entry.bucketValues[bound] = (entry.bucketValues[bound] ?? 0) + times;
}

function overflowOf(label: string): string {
  return label === 'http_route' ? UNMATCHED_ROUTE : OVERFLOW;
}

function closedSet(values: LabelValues, known: KnownValues): ReadonlySet<string> | undefined {
  if (values === 'route') return known.routes;
  const listed = listedValues(values, known);
  return listed === undefined ? undefined : new Set(listed);
}

/** `undefined`: values that are fixed at start and not listed anywhere. */
function listedValues(values: LabelValues, known: KnownValues): readonly string[] | undefined {
  switch (values) {
    case 'dataset':
      return known.datasets;
    case 'route':
      return [...known.routes];
    case 'code':
      return known.codes;
    case 'build':
      return undefined;
    default:
      return values;
  }
}

function combinations(labels: Readonly<Record<string, LabelValues>>, known: KnownValues): readonly Labels[] {
  let sets: readonly Labels[] = [{}];
  for (const [label, values] of Object.entries(labels)) {
    const listed = listedValues(values, known) ?? [];
    sets = sets.flatMap((set) => listed.map((value) => ({ ...set, [label]: value })));
  }
  return sets;
}
