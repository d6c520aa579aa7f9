// Incremental: level by level up to the breaking point; nsys runs this once for each level.
export { default, options, setup, handleSummary } from './lib/level.js';
