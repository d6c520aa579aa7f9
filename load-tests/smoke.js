// Smoke: a few requests, does it work at all.
export { default, options, handleSummary } from './lib/level.js';
