/**
 * `slo/fleet.yaml` → the fleet: services that are promised the same two things, availability and latency, told apart by
 * data alone. A service is one entry; its class holds the targets. `objectives: own` is a service whose promises are
 * files in `slo/objectives`; it is listed so that nothing with traffic is without an owner.
 */
import { z } from 'zod';
import { METRICS } from '../../app/telemetry/catalogue.ts';
import { compare, type Decimal, decimal, decimalNumber, subtract } from './decimal.ts';
import { decimalSchema } from './openslo.ts';
import type { Problem } from './problems.ts';
import type { SourceFile } from './read-objects.ts';
import { readShape } from './shape.ts';
import { readYaml, type YamlDocument } from './yaml-source.ts';

export interface Fleet {
  /** Whom a service belongs to that nobody listed. */
  readonly owner: string;
  /** Sorted by name. */
  readonly services: readonly FleetService[];
}

export interface FleetService {
  /** The label `service` of its scraped series. */
  readonly name: string;
  readonly owner: string;
  readonly class: string;
  /** Empty: its objectives are files of their own. */
  readonly objectives: readonly FleetObjective[];
}

export type FleetObjective =
  /** Answers other than 5xx. */
  | { readonly name: 'availability'; readonly budget: Decimal }
  /** Answers other than 5xx within a bucket's bound. */
  | { readonly name: 'latency'; readonly budget: Decimal; readonly thresholdSeconds: Decimal };

const name = z.string().regex(/^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/, {
  error: 'a name is lower-case letters, digits and hyphens, at most 63',
});
const fleetSchema = z.strictObject({
  owner: name,
  classes: z.record(
    name,
    z.strictObject({
      availability: z.strictObject({ target: decimalSchema }),
      latency: z.strictObject({ target: decimalSchema, withinSeconds: decimalSchema }),
    }),
  ),
  services: z.array(
    z.strictObject({
      name,
      owner: name,
      class: name,
      objectives: z.union([z.literal('own'), z.array(z.enum(['availability', 'latency'])).min(1)]),
    }),
  ),
});
type Written = z.infer<typeof fleetSchema>;

/** The fleet, or every problem there is. */
export function readFleet(source: SourceFile): { readonly fleet?: Fleet; readonly problems: readonly Problem[] } {
  const { documents, problems } = readYaml(source);
  const [document] = documents;
  if (problems.length > 0) return { problems };
  if (document === undefined || documents.length > 1) {
    const message = `${documents.length} documents. Write one.`;
    return { problems: [{ code: 'YAML_UNREADABLE', place: { file: source.file, line: 1 }, message }] };
  }
  const shape = readShape(fleetSchema, document);
  if (shape.value === undefined) return { problems: shape.problems };
  const found = [...classProblems(shape.value, document), ...serviceProblems(shape.value, document)];
  return found.length > 0 ? { problems: found } : { fleet: fleetOf(shape.value), problems: [] };
}

function classProblems({ classes }: Written, document: YamlDocument): readonly Problem[] {
  const bounds: readonly number[] = METRICS.httpServerRequestDuration.buckets;
  return Object.entries(classes).flatMap(([key, { availability, latency }]): readonly Problem[] => {
    const at = ['classes', key];
    const targets = (['availability', 'latency'] as const).flatMap((kind): readonly Problem[] => {
      const { target } = kind === 'availability' ? availability : latency;
      if (compare(target, decimal('0.5')) >= 0 && compare(target, decimal(1)) < 0) return [];
      const message = `${decimalNumber(target)} is no target. Use 0.5 or more and less than 1.`;
      return [{ code: 'TARGET_REFUSED', place: document.place([...at, kind, 'target']), message }];
    });
    if (bounds.includes(decimalNumber(latency.withinSeconds))) return targets;
    const place = document.place([...at, 'latency', 'withinSeconds']);
    const message = `${decimalNumber(latency.withinSeconds)} s is not a bucket of ${METRICS.httpServerRequestDuration.name} (${bounds.join(', ')}). Use a bucket bound.`;
    return [...targets, { code: 'BUCKET_UNKNOWN', place, message }];
  });
}

function serviceProblems({ classes, services }: Written, document: YamlDocument): readonly Problem[] {
  const seen = new Map<string, number>();
  return services.flatMap((service, index): readonly Problem[] => {
    const found: Problem[] = [];
    if (seen.has(service.name)) {
      const message = `${service.name} is listed twice. Keep one entry.`;
      found.push({ code: 'NAME_REPEATED', place: document.place(['services', index, 'name']), message });
    }
    seen.set(service.name, index);
    if (!Object.hasOwn(classes, service.class)) {
      const message = `${service.class} is not a class. Use one of: ${Object.keys(classes).join(', ')}.`;
      found.push({ code: 'REFERENCE_UNKNOWN', place: document.place(['services', index, 'class']), message });
    }
    return found;
  });
}

function fleetOf({ classes, owner, services }: Written): Fleet {
  const all = services.map((service): FleetService => {
    const targets = classes[service.class];
    const { name: called, owner: team, class: kind, objectives } = service;
    if (targets === undefined || objectives === 'own')
      return { name: called, owner: team, class: kind, objectives: [] };
    return {
      name: called,
      owner: team,
      class: kind,
      objectives: [...new Set(objectives)].sort().map((objective): FleetObjective => {
        const budget = subtract(decimal(1), targets[objective].target);
        return objective === 'availability'
          ? { name: objective, budget }
          : { name: objective, budget, thresholdSeconds: targets.latency.withinSeconds };
      }),
    };
  });
  return { owner, services: all.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}
