// The features there are, in the order they are applied in.

import type { Ruleset } from '../kernel/nftables/ruleset.ts';
import type { Feature } from './feature.ts';
import { bandwidthFeature } from './bandwidth/bandwidth.ts';
import { bridgedGatewayFeature } from './masquerade/bridged-gateway.ts';
import { isolationFeature } from './isolation/isolation.ts';
import { macspoofFeature } from './isolation/macspoof.ts';
import { masqueradeFeature } from './masquerade/masquerade.ts';
import { portmapFeature } from './portmap/portmap.ts';
import { tuningFeature } from './tuning/tuning.ts';

export const FEATURES: readonly Feature[] = [
  tuningFeature,
  bandwidthFeature,
  masqueradeFeature,
  portmapFeature,
  isolationFeature,
  macspoofFeature,
  bridgedGatewayFeature,
];

/** The rules of all features. */
export const ALL_RULESETS: readonly Ruleset[] = FEATURES.flatMap(({ rulesets }) => rulesets);
