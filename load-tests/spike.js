// Spike: a sudden rise, and the recovery from it.
export { default, options, setup, handleSummary } from './lib/level.js';
