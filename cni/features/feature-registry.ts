// The features there are, in the order they are applied in.

import type { Ruleset } from '../kernel/nftables/ruleset.ts';
import type { Feature } from './feature.ts';
import { bandwidthFeature } from './bandwidth.ts';
import { bridgedGatewayFeature } from './bridged-gateway.ts';
import { isolationFeature } from './isolation.ts';
import { macspoofFeature } from './macspoof.ts';
import { masqueradeFeature } from './masquerade.ts';
import { portmapFeature } from './portmap.ts';
import { tuningFeature } from './tuning.ts';

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
