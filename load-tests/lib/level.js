// One level of a load test. The plan file of nsys tells everything: model, rate, virtual users, the
// windows one after the other (the first is a warm-up that does not count), and the requests. Each one
// carries the window it began in, so that k6 keeps the percentiles of each apart.
import http from 'k6/http';
import { md5, randomBytes } from 'k6/crypto';
import { Counter, Trend } from 'k6/metrics';
import exec from 'k6/execution';

const plan = JSON.parse(open(__ENV.NSYS_PLAN));
const accepted = new Counter('accepted');
const creates = new Counter('creates');
const failures = new Counter('failures');
// Counted before a request is sent: one that is begun and never ends is known to be missing.
const started = new Counter('started');
// How long every request took until its end, whatever the end was.
const requestTime = new Trend('request_time', true);

// Requests that have no answer so long after the load ended are given up (as the native engine does), and
// k6 waits a little longer: an iteration that it cuts leaves no trace.
const graceMs = plan.grace_s * 1000;
const gracefulStop = `${plan.grace_s + 5}s`;

// One scenario for the whole level: two would each want their own virtual users.
function scenario() {
  const seconds = plan.windows.reduce((sum, window) => sum + window.seconds, 0);
  const users = { preAllocatedVUs: plan.vus, maxVUs: plan.vus, timeUnit: '1s', gracefulStop };
  if (plan.model === 'closed') {
    return { executor: 'constant-vus', vus: plan.vus, duration: `${seconds}s`, gracefulStop };
  }
  if (plan.windows.every((window) => window.rate === plan.windows[0].rate)) {
    return { executor: 'constant-arrival-rate', rate: plan.windows[0].rate, duration: `${seconds}s`, ...users };
  }
  // A stage of no length is a jump.
  const stages = plan.windows.flatMap(({ rate, seconds }) => [
    { target: rate, duration: '0s' },
    { target: rate, duration: `${seconds}s` },
  ]);
  return { executor: 'ramping-arrival-rate', startRate: plan.windows[0].rate, stages, ...users };
}

const statuses = [
  200, 201, 202, 203, 204, 205, 206, 207, 208, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408,
  409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503,
  504, 505, 506, 507, 508, 510, 511, 520, 521, 522, 523, 524, 525, 529, 530,
];
const causes = ['timeout', 'unanswered', 'incomplete', 'refused', 'reset', 'dns', 'tcp', 'tls', 'other'].concat(
  statuses.map((status) => `status_${status}`),
);

// The codes are k6's own: https://grafana.com/docs/k6/latest/javascript-api/error-codes/
function causeOf(answer, given) {
  const code = answer.error_code;
  if (code === 1050 || code === 1211) return given < timeoutMs ? 'unanswered' : 'timeout';
  if (answer.status > 0) {
    const cause = `status_${answer.status}`;
    return causes.includes(cause) ? cause : 'other';
  }
  // Closed in the middle of a body, and before the first byte.
  if (answer.error === 'unexpected EOF') return 'incomplete';
  if (answer.error && answer.error.endsWith('EOF')) return 'reset';
  if (code === 1212) return 'refused';
  if (code === 1220) return 'reset';
  if (code >= 1100 && code < 1200) return 'dns';
  if (code >= 1200 && code < 1300) return 'tcp';
  if (code >= 1300 && code < 1400) return 'tls';
  return 'other';
}

// A threshold is what makes k6 keep a sub-metric; these always hold.
const kept = { dropped_iterations: ['count>=0'] };
const slices = plan.slices;
for (let index = 0; slices && index < slices.count; index += 1) {
  kept[`started{slice:${index}}`] = ['count>=0'];
  kept[`failures{slice:${index}}`] = ['count>=0'];
  kept[`request_time{slice:${index}}`] = ['max>=0'];
}
for (const tag of ['measured:yes', ...plan.windows.map((window) => `window:${window.name}`)]) {
  kept[`started{${tag}}`] = ['count>=0'];
  kept[`failures{${tag}}`] = ['count>=0'];
  kept[`request_time{${tag}}`] = ['max>=0'];
  kept[`request_time{ok:yes,${tag}}`] = ['max>=0'];
}
for (const cause of causes) kept[`failures{cause:${cause}}`] = ['count>=0'];

// Percentiles of several generators, or slices, cannot be averaged: each leaves its whole distribution, finer
// towards its end, and nsys adds them up.
const range = (from, to, step) => Array.from({ length: Math.round((to - from) / step) }, (_, n) => from + n * step);
const points = [...range(0.5, 90, 0.5), ...range(90, 99, 0.1), ...range(99, 99.9, 0.02), ...range(99.9, 100, 0.01)];
const distribution = points.map((point) => `p(${Number(point.toFixed(2))})`);
const percentiles = ['p(90)', 'p(95)', 'p(99)', 'p(99.9)'].filter((one) => !distribution.includes(one));

export const options = {
  scenarios: { load: scenario() },
  thresholds: kept,
  summaryTrendStats: ['count', 'min', 'avg', 'med', 'max', ...percentiles, ...distribution],
  systemTags: ['status', 'method', 'name', 'expected_response'],
  discardResponseBodies: true,
  noConnectionReuse: false,
};

const timeoutMs = plan.timeout_s * 1000;
const loadMs = plan.windows.reduce((sum, window) => sum + window.seconds, 0) * 1000;
const elapsedMs = () => exec.instance.currentTestRunDuration;

// A request may take `timeout_s`, and none lasts beyond the grace.
let given = timeoutMs;
function timeoutNow() {
  given = Math.max(1, Math.min(timeoutMs, Math.round(loadMs + graceMs - elapsedMs())));
  return given;
}

// The holes of a template. A piece is a word, or an object of one word and what it needs.
const below = (limit) => Math.floor(Math.random() * limit);
// Four of five go to one per cent of the range, as real reads do.
const popular = (limit) => (Math.random() < 0.8 ? below(Math.max(1, Math.floor(limit / 100))) : below(limit));
const dashed = (hex) => `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;

function uuid() {
  const bytes = new Uint8Array(randomBytes(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return dashed(Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''));
}

// No other iteration of the run has it: an iteration makes one request.
const ownId = () => `${plan.prefix}-${exec.vu.idInTest}-${exec.vu.iterationInInstance}`;

const holes = {
  text: (text) => () => text,
  rand: (limit) => () => below(limit),
  popular: (limit) => () => popular(limit),
  pick: (words) => () => words[below(words.length)],
  n: () => () => exec.scenario.iterationInTest,
  id: () => ownId,
  run: () => () => plan.prefix,
  uuid: () => uuid,
  now: () => () => new Date().toISOString(),
  uuid_of: (of) => () => dashed(md5(`${of.text}${of.draw === 'popular' ? popular(of.below) : below(of.below)}`, 'hex')),
};

function template(pieces) {
  const fills = pieces.map((piece) => {
    const [word, needs] = typeof piece === 'string' ? [piece, undefined] : Object.entries(piece)[0];
    if (!holes[word]) throw new Error(`the plan of the level has a hole ${word}`);
    return holes[word](needs);
  });
  if (fills.length === 1) return () => String(fills[0]());
  return () => fills.map((fill) => fill()).join('');
}

const isConstant = (pieces) => pieces.every((piece) => piece.text !== undefined);
const within = (ranges) => (status) => ranges.some(([from, to]) => status >= from && status <= to);

// What can be made before the load is: each template once.
let weights = 0;
const requests = plan.requests.map((one) => {
  const values = one.headers.map(([name, pieces]) => [name, template(pieces)]);
  const headers = () => Object.fromEntries(values.map(([name, value]) => [name, value()]));
  const constant = one.headers.every(([, pieces]) => isConstant(pieces)) ? headers() : null;
  weights += one.weight;
  return {
    until: weights,
    method: one.method,
    path: template(one.path),
    headers: () => constant || headers(),
    body: one.body ? template(one.body) : () => null,
    isSuccess: within(one.success),
    isAcknowledged: within(one.acknowledged),
    acknowledges: one.acknowledged.length > 0,
    tracked: one.tracked,
    expected: http.expectedStatuses(...one.success.map(([min, max]) => ({ min, max }))),
    tags: { name: one.name },
  };
});

function chosen() {
  const dice = requests.length === 1 ? 0 : Math.random() * weights;
  return requests.find((one) => dice < one.until) || requests[requests.length - 1];
}

function send(one) {
  if (one.acknowledges) creates.add(1);
  const answer = http.request(one.method, `${plan.base_url}${one.path()}`, one.body(), {
    headers: one.headers(),
    tags: one.tags,
    timeout: timeoutNow(),
    redirects: 0,
    responseCallback: one.expected,
  });
  if (!one.acknowledges) return answer;
  if (one.isAcknowledged(answer.status)) accepted.add(1);
  // Whether it is stored nobody knows. nsys reads these lines: what else is stored was acknowledged.
  else if (one.tracked) console.log(`unacknowledged ${ownId()}`);
  return answer;
}

const ends = plan.windows.map((window) => (window.start_s + window.seconds) * 1000);
let current = -1;
let currentSlice = -1;

// Tags stay with the virtual user, so they are set only when a window begins.
function enterWindow() {
  const at = exec.instance.currentTestRunDuration;
  enterSlice(at);
  let index = Math.max(0, current);
  while (index < ends.length - 1 && at >= ends[index]) index += 1;
  if (index === current) return;
  current = index;
  exec.vu.metrics.tags.window = plan.windows[index].name;
  exec.vu.metrics.tags.measured = plan.windows[index].measured ? 'yes' : 'no';
}

// A slice of the measured time; what comes after the last one belongs to it.
function enterSlice(at) {
  const into = at / 1000 - (slices ? slices.start_s : Infinity);
  if (into < 0) return;
  const index = Math.min(slices.count - 1, Math.floor(into / slices.length_s));
  if (index === currentSlice) return;
  currentSlice = index;
  exec.vu.metrics.tags.slice = `${index}`;
}

// Runs when every virtual user is made, right before the load begins.
export function setup() {
  return { began_ms: Date.now() };
}

// From the call to the end. What k6 calls blocked lasts until the connection is there, connecting and TLS
// included; it tells no times of a request without an answer.
function msOf(answer, beganMs) {
  if (answer.status === 0 || answer.error_code === 1050) return elapsedMs() - beganMs;
  const { blocked, duration } = answer.timings;
  return blocked + duration;
}

export default function () {
  enterWindow();
  started.add(1);
  const beganMs = elapsedMs();
  const one = chosen();
  const answer = send(one);
  // k6 gives an error code to a status of 400 and above; those that are a success have no other error.
  const ok = one.isSuccess(answer.status) && (answer.error_code === 0 || answer.error_code === 1000 + answer.status);
  requestTime.add(msOf(answer, beganMs), { ok: ok ? 'yes' : 'no' });
  if (!ok) failures.add(1, { cause: causeOf(answer, given) });
}

export function handleSummary(data) {
  return { [plan.summary]: JSON.stringify(data) };
}
