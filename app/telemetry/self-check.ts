/**
 * Proof at start that instrumentation took: wherever it fails it fails in silence, and a service without spans looks
 * like a service without traffic.
 */
import { context, trace } from '@opentelemetry/api';
import { tracing } from './span-export.ts';

/**
 * Throws unless http, express and pino are really instrumented. Does nothing when tracing was switched off.
 */
export async function selfCheck(): Promise<void> {
  if (tracing.preloaded && !tracing.enabled) return;
  const wrong: string[] = [];
  // By name: this module watches the web framework and the logger, it does not use them.
  const [framework, logger] = ['express', 'pino'] as const;
  const express: { default: { application: { use: unknown } } } = await import(framework);
  if (!isWrapped(express.default.application.use)) wrong.push(framework);
  // After the framework: http is patched when the first CommonJS module asks for it.
  const { Server } = await import('node:http');
  if (!isWrapped(Server.prototype.emit)) wrong.push('http');
  if (!(await linesCarryTraceIds(logger))) wrong.push(logger);
  if (wrong.length > 0) {
    throw new Error(
      `Not instrumented: ${wrong.join(', ')}. Start with node --import ./app/telemetry/start.ts (npm start does), before ` +
        'anything else is loaded, or set OTEL_SDK_DISABLED=true.',
    );
  }
}

/** shimmer's mark, which the SDK's own isWrapped reads. */
function isWrapped(method: unknown): boolean {
  return typeof method === 'function' && Reflect.get(method, '__wrapped') === true;
}

async function linesCarryTraceIds(logger: string): Promise<boolean> {
  const { pino }: typeof import('pino') = await import(logger);
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => lines.push(line) });
  // A made-up context instead of a span: this check leaves nothing in the traces.
  const made = trace.setSpanContext(context.active(), {
    traceId: '1'.repeat(32),
    spanId: '1'.repeat(16),
    traceFlags: 0,
  });
  context.with(made, () => log.info('self check'));
  return lines.some((line) => line.includes('"trace_id"'));
}
