// CNI errors: the codes of the specification ("Error", SPEC.md 1.1.0) and the only mapping onto them.

/** The config's cniVersion is not one we speak, or too old for the verb. */
export const ERR_INCOMPATIBLE_CNI_VERSION = 1;
export const ERR_UNSUPPORTED_FIELD = 2;
export const ERR_UNKNOWN_CONTAINER = 3;
export const ERR_INVALID_ENVIRONMENT_VARIABLES = 4;
export const ERR_IO_FAILURE = 5;
export const ERR_DECODING_FAILURE = 6;
export const ERR_INVALID_NETWORK_CONFIG = 7;
/** Not in the specification's table, but what the reference library answers when CNI_NETNS is the plugin's own. */
export const ERR_INVALID_NETNS = 8;
/** Transient: the runtime should try again later. */
export const ERR_TRY_AGAIN_LATER = 11;
/** STATUS: the plugin cannot serve ADD. */
export const ERR_PLUGIN_NOT_AVAILABLE = 50;
/** STATUS: as 50, and existing containers may have limited connectivity. */
export const ERR_LIMITED_CONNECTIVITY = 51;
/** First of the plugin-specific codes: the kernel or the file system refused something that was asked correctly. */
export const ERR_KERNEL_REFUSED = 100;
/** CHECK found the attachment changed or gone. */
export const ERR_CHECK_FAILED = 101;
/** The attachment, interface or address is already there. */
export const ERR_ALREADY_EXISTS = 102;
/** A plugin we had to execute (a foreign IPAM type) failed or answered nonsense. */
export const ERR_DELEGATE_FAILED = 103;
/** DEL, GC or a rollback could not remove everything. */
export const ERR_CLEANUP_INCOMPLETE = 104;

/** A failure in CNI's terms. `message` is for the operator; `details` holds the kernel's or file system's own words. */
export class CniError extends Error {
  override readonly name = 'CniError';
  readonly code: number;
  readonly details: string;

  constructor(code: number, message: string, details = '', options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}
