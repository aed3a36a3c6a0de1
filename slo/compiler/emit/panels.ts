/**
 * Grafana panels as this house wants them: the library's defaults hide legends, leave panels editable, name no data
 * source and reduce nothing. Classic schema, because Grafana refuses the second version from provisioned files.
 */
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphDrawStyle,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type DynamicConfigValue,
  type Panel,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TextBuilder, TextMode } from '@grafana/grafana-foundation-sdk/text';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

const DATASOURCE = { type: 'prometheus', uid: `$\{datasource}` };
/** The grid is 24 wide. */
const ROW_WIDTH = 24;
const TAG = 'slo';

export type Unit = 'percentunit' | 'short' | 's' | 'none' | 'dateTimeAsIso';
export type PanelSource = Builder<Panel>;

interface PanelText {
  readonly title: string;
  /** What the panel says and how to read it; shown behind the i. */
  readonly description: string;
  readonly width: number;
  readonly height?: number;
}

/** From this value on; the first has none. */
export interface Step {
  readonly from: number | null;
  readonly color: 'green' | 'yellow' | 'orange' | 'red' | 'transparent';
}

export interface LineQuery {
  readonly expr: string;
  readonly legend: string;
  readonly exemplar?: boolean;
}

export function statPanel(
  panel: PanelText & {
    readonly expr: string;
    readonly unit: Unit;
    readonly decimals?: number;
    readonly steps: readonly Step[];
  },
): PanelSource {
  return new StatBuilder()
    .title(panel.title)
    .description(panel.description)
    .datasource(DATASOURCE)
    .withTarget(instant(panel.expr, 'A'))
    .unit(panel.unit)
    .decimals(panel.decimals ?? 2)
    .thresholds(thresholds(panel.steps))
    .colorMode(BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .noValue('no data')
    .span(panel.width)
    .height(panel.height ?? 4);
}

export function linesPanel(
  panel: PanelText & {
    readonly queries: readonly LineQuery[];
    readonly unit: Unit;
    readonly steps?: readonly Step[];
    /** Bars of one width each, in place of lines: `1d`. */
    readonly barsEvery?: string;
  },
): PanelSource {
  const builder = new TimeseriesBuilder()
    .title(panel.title)
    .description(panel.description)
    .datasource(DATASOURCE)
    .targets(panel.queries.map((query, index) => ranged(query, refId(index))))
    .unit(panel.unit)
    .lineWidth(1)
    .fillOpacity(panel.barsEvery === undefined ? 10 : 80)
    .drawStyle(panel.barsEvery === undefined ? GraphDrawStyle.Line : GraphDrawStyle.Bars)
    .showPoints(VisibilityMode.Never)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .span(panel.width)
    .height(panel.height ?? 8);
  if (panel.barsEvery !== undefined) builder.interval(panel.barsEvery);
  return panel.steps === undefined ? builder : builder.thresholds(thresholds(panel.steps));
}

export function tablePanel(
  panel: PanelText & {
    /** Column title → query; the columns are put together by the labels they share. */
    readonly columns: Readonly<Record<string, string>>;
    readonly units?: Readonly<Record<string, Unit>>;
    /** Label → where its cells lead. */
    readonly links?: Readonly<Record<string, string>>;
  },
): PanelSource {
  const names = Object.keys(panel.columns);
  const builder = new TableBuilder()
    .title(panel.title)
    .description(panel.description)
    .datasource(DATASOURCE)
    .targets(Object.values(panel.columns).map((expr, index) => tabled(expr, refId(index))))
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({
      id: 'organize',
      options: {
        excludeByName: { Time: true, __name__: true, alertstate: true },
        renameByName:
          names.length === 1
            ? { Value: names[0] ?? '' }
            : Object.fromEntries(names.map((name, index) => [`Value #${refId(index)}`, name])),
      },
    })
    .noValue('nothing')
    .span(panel.width)
    .height(panel.height ?? 8);
  for (const [name, unit] of Object.entries(panel.units ?? {})) {
    builder.overrideByName(name, [property('unit', unit), property('decimals', 3)]);
  }
  for (const [name, url] of Object.entries(panel.links ?? {})) {
    builder.overrideByName(name, [property('links', [{ title: 'Open', url }])]);
  }
  return builder;
}

export function textPanel(panel: PanelText & { readonly markdown: string }): PanelSource {
  return new TextBuilder()
    .title(panel.title)
    .description(panel.description)
    .mode(TextMode.Markdown)
    .content(panel.markdown)
    .span(panel.width)
    .height(panel.height ?? 4);
}

export interface Page {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly from: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly PanelSource[] }[];
}

/** A read-only dashboard; all pages of the tag are linked from each. */
export function dashboard({ description, from, rows, title, uid }: Page): Dashboard {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags([TAG])
    .readonly()
    .timezone('browser')
    .time({ from, to: 'now' })
    .refresh('1m')
    .tooltip(DashboardCursorSync.Crosshair)
    .annotations([])
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .link(
      new DashboardLinkBuilder('Objectives')
        .type(DashboardLinkType.Dashboards)
        .tags([TAG])
        .asDropdown(true)
        .keepTime(true),
    );
  for (const row of rows) {
    builder.withRow(new RowBuilder(row.title));
    for (const panel of row.panels) builder.withPanel(panel);
  }
  const built = builder.build();
  // Grafana numbers panels that have no id anew at each load, and links to one panel break.
  built.panels = (built.panels ?? []).map((panel, index) => ({ ...panel, id: index + 1 }));
  return built;
}

export const FULL = ROW_WIDTH;

function instant(expr: string, id: string): DataqueryBuilder {
  return new DataqueryBuilder().expr(expr).datasource(DATASOURCE).instant().refId(id);
}

function tabled(expr: string, id: string): DataqueryBuilder {
  return instant(expr, id).format(PromQueryFormat.Table);
}

function ranged({ exemplar, expr, legend }: LineQuery, id: string): DataqueryBuilder {
  return new DataqueryBuilder()
    .expr(expr)
    .datasource(DATASOURCE)
    .range()
    .legendFormat(legend)
    .exemplar(exemplar ?? false)
    .refId(id);
}

function thresholds(steps: readonly Step[]): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(({ color, from }) => ({ color, value: from })));
}

function property(id: string, value: unknown): DynamicConfigValue {
  return { id, value };
}

/** A, B, C … */
function refId(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + index);
}
