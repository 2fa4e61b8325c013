// constants.ts - the numbers of native/specache.h: statuses, places in arrays, roles of tensors.
// tools/header.ts compares them with the header.
import type { ErrorCode } from "../engine/errors.ts";

/** The ABI that this code is written for. */
export const abiVersion = 8;

/** Statuses of a call. */
export const statuses = {
  ok: 0,
  argument: 1,
  capacity: 2,
  handle: 3,
  memory: 4,
  device: 5,
  file: 6,
  data: 7,
  cancelled: 8,
  busy: 9,
  unsupported: 10,
} as const satisfies Partial<Record<ErrorCode | "ok", number>>;

/** Places in the array of specache_plan, bytes each. */
export const planParts = {
  codes: 0,
  rows: 1,
  sinks: 2,
  window: 3,
  slots: 4,
  tables: 5,
  near: 6,
  far: 7,
  full: 8,
  work: 9,
  profile: 10,
  reserved: 11,
} as const;

/** Numbers in the array of specache_plan. */
export const planCount: number = Object.keys(planParts).length;

/** Places in the array of specache_sequence_stats. */
export const statsCounters = {
  tokens: 0,
  nearBytes: 1,
  farBytes: 2,
  fullBytes: 3,
  prefetchedRows: 4,
  lateRows: 5,
  reusedRows: 6,
  fetchedBytes: 7,
  hiddenNs: 8,
  waitedNs: 9,
  lateNs: 10,
  allocated: 11,
} as const;

/** Numbers in the array of specache_sequence_stats. */
export const statsCount: number = Object.keys(statsCounters).length;

/** Places in the array of specache_far_access. */
export const farAccess = {
  direct: 0,
  ring: 1,
  alignment: 2,
  readsMost: 3,
  reads: 4,
  bytes: 5,
} as const;

/** Numbers in the array of specache_far_access. */
export const farAccessCount: number = Object.keys(farAccess).length;

/** Places in a head's part of the array of specache_audited. */
export const auditSums = {
  samples: 0,
  lost: 1,
  lostSquared: 2,
  divergence: 3,
  divergenceSquared: 4,
  chosen: 5,
  best: 6,
} as const;

/** Numbers of a head in the array of specache_audited. */
export const auditCount: number = Object.keys(auditSums).length;

/** Roles of a model's tensors. */
export const roles = {
  embedding: 0,
  outputNorm: 1,
  output: 2,
  attentionNorm: 3,
  query: 4,
  key: 5,
  value: 6,
  attentionOutput: 7,
  queryBias: 8,
  keyBias: 9,
  valueBias: 10,
  attentionOutputBias: 11,
  queryNorm: 12,
  keyNorm: 13,
  mlpNorm: 14,
  mlpGate: 15,
  mlpUp: 16,
  mlpDown: 17,
  mlpGateBias: 18,
  mlpUpBias: 19,
  mlpDownBias: 20,
} as const;
