// Smoke: a few requests, does it work at all.
export { default, options, setup, handleSummary } from './lib/level.js';
