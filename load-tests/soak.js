// Soak: the same load for long.
export { default, options, setup, handleSummary } from './lib/level.js';
