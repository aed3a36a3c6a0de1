/**
 * A place on 127.0.0.1 that spans can be exported to: tests and benchmarks read what really left the process, bytes
 * and all, instead of what an in-memory exporter would have been given.
 *
 * Decodes the part of OTLP's protobuf that a span's place in a trace is in
 * (https://github.com/open-telemetry/opentelemetry-proto, trace/v1/trace.proto); other fields are skipped.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedSpan {
  readonly name: string;
  /** OTLP's numbers: 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number;
}

export interface OtlpSink {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Everything received, undecoded, for looking for what must not be there. */
  readonly bytes: () => Buffer;
  close(): Promise<void>;
}

/** `status`: what every export is answered with; 503 stands for a collector that is down. */
export async function openOtlpSink({ status = 200 }: { readonly status?: number } = {}): Promise<OtlpSink> {
  const spans: ReceivedSpan[] = [];
  const bodies: Buffer[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      bodies.push(body);
      if (status === 200) spans.push(...decodeRequest(body));
      response.writeHead(status, { 'Content-Type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    bytes: () => Buffer.concat(bodies),
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      }),
  };
}

interface Field {
  readonly number: number;
  /** Varints and fixed 64-bit values as numbers, the rest as bytes. */
  readonly value: Buffer | number;
}

function* fieldsOf(message: Buffer): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = message.readUInt8(at++);
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const [number, type] = [Math.floor(tag / 8), tag % 8];
    if (type === WIRE.varint) yield { number, value: varint() };
    else if (type === WIRE.bytes) {
      const length = varint();
      yield { number, value: message.subarray(at, at + length) };
      at += length;
    } else if (type === WIRE.fixed64) {
      yield { number, value: message.readDoubleLE(at) };
      at += 8;
    } else if (type === WIRE.fixed32) {
      yield { number, value: message.readUInt32LE(at) };
      at += 4;
    } else throw new Error(`Wire type ${type} is not part of OTLP.`);
  }
}

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

function messages(parent: Buffer, number: number): readonly Buffer[] {
  return [...fieldsOf(parent)].flatMap((field) =>
    field.number === number && typeof field.value !== 'number' ? [field.value] : [],
  );
}

/** ExportTraceServiceRequest: resource_spans = 1 → scope_spans = 2 → spans = 2. */
function decodeRequest(body: Buffer): readonly ReceivedSpan[] {
  return messages(body, 1)
    .flatMap((resource) => messages(resource, 2))
    .flatMap((scope) => messages(scope, 2))
    .map(decodeSpan);
}

function decodeSpan(span: Buffer): ReceivedSpan {
  const hex = (message: Buffer, number: number): string => messages(message, number)[0]?.toString('hex') ?? '';
  const [status] = messages(span, 15);
  return {
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentSpanId: hex(span, 4),
    name: text(span, 5),
    kind: integer(span, 6),
    attributes: Object.fromEntries(
      messages(span, 9).map((attribute) => [text(attribute, 1), decodeValue(messages(attribute, 2)[0])]),
    ),
    links: messages(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
    status: status === undefined ? 0 : integer(status, 3),
  };
}

/** AnyValue: string = 1, bool = 2, int = 3, double = 4. */
function decodeValue(value: Buffer | undefined): string | number | boolean {
  const [field] = value === undefined ? [] : [...fieldsOf(value)];
  if (field === undefined) return '';
  if (typeof field.value !== 'number') return field.value.toString('utf8');
  return field.number === 2 ? field.value === 1 : field.value;
}

function text(message: Buffer, number: number): string {
  return messages(message, number)[0]?.toString('utf8') ?? '';
}

function integer(message: Buffer, number: number): number {
  const found = [...fieldsOf(message)].find((field) => field.number === number)?.value;
  return typeof found === 'number' ? found : 0;
}
