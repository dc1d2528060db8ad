// Numbers of nf_tables and of nfnetlink, under their kernel names.
//
// Source: include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h, include/uapi/linux/netfilter.h, netfilter_ipv4.h
// (v6.12). Integers inside the attributes are in network byte order.

// enum nf_inet_proto: the family of a table, and of a packet
export const NFPROTO_INET = 1;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_BRIDGE = 7;
export const NFPROTO_IPV6 = 10;

// enum nf_inet_hooks
export const NF_INET_PRE_ROUTING = 0;
export const NF_INET_LOCAL_IN = 1;
export const NF_INET_FORWARD = 2;
export const NF_INET_LOCAL_OUT = 3;
export const NF_INET_POST_ROUTING = 4;

// include/uapi/linux/netfilter_bridge.h: hooks of a bridge table, and the priority before all that ebtables does there
export const NF_BR_PRE_ROUTING = 0;
export const NF_BR_FORWARD = 2;
export const NF_BR_PRI_NAT_DST_BRIDGED = -300;

/** enum nf_ip_hook_priorities: nft's "filter". */
export const NF_IP_PRI_FILTER = 0;
/** nft's "raw": before connection tracking. */
export const NF_IP_PRI_RAW = -300;
/** nft's "dstnat". */
export const NF_IP_PRI_NAT_DST = -100;
/** nft's "srcnat". */
export const NF_IP_PRI_NAT_SRC = 100;

// include/uapi/linux/netfilter.h: verdicts that end the packet's way through the hook
export const NF_DROP = 0;
export const NF_ACCEPT = 1;

// nfnetlink.h
export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;
export const NFNL_BATCH_GENID = 1;

/** include/linux/errno.h: the ruleset is no longer of the generation that the batch was made for. */
export const ERESTART = 85;

// enum nf_tables_msg_types
export const NFT_MSG_NEWTABLE = 0;
export const NFT_MSG_GETTABLE = 1;
export const NFT_MSG_DELTABLE = 2;
export const NFT_MSG_NEWCHAIN = 3;
export const NFT_MSG_GETCHAIN = 4;
export const NFT_MSG_DELCHAIN = 5;
export const NFT_MSG_NEWRULE = 6;
export const NFT_MSG_GETRULE = 7;
export const NFT_MSG_DELRULE = 8;
export const NFT_MSG_NEWSET = 9;
export const NFT_MSG_GETSET = 10;
export const NFT_MSG_NEWSETELEM = 12;
export const NFT_MSG_GETSETELEM = 13;
export const NFT_MSG_DELSETELEM = 14;
export const NFT_MSG_NEWGEN = 15;
export const NFT_MSG_GETGEN = 16;

// enum nft_table_attributes
export const NFTA_TABLE_NAME = 1;
export const NFTA_TABLE_FLAGS = 2;

// enum nft_chain_attributes, nft_hook_attributes
export const NFTA_CHAIN_TABLE = 1;
export const NFTA_CHAIN_NAME = 3;
export const NFTA_CHAIN_HOOK = 4;
export const NFTA_CHAIN_POLICY = 5;
export const NFTA_CHAIN_TYPE = 7;
export const NFTA_HOOK_HOOKNUM = 1;
export const NFTA_HOOK_PRIORITY = 2;

// enum nft_rule_attributes, nft_list_attributes
export const NFTA_RULE_TABLE = 1;
export const NFTA_RULE_CHAIN = 2;
export const NFTA_RULE_EXPRESSIONS = 4;
export const NFTA_RULE_USERDATA = 7;
export const NFTA_LIST_ELEM = 1;

// enum nft_set_attributes, nft_set_desc_attributes, nft_set_field_attributes, nft_set_flags
export const NFTA_SET_TABLE = 1;
export const NFTA_SET_NAME = 2;
export const NFTA_SET_FLAGS = 3;
export const NFTA_SET_KEY_TYPE = 4;
export const NFTA_SET_KEY_LEN = 5;
export const NFTA_SET_DATA_TYPE = 6;
export const NFTA_SET_DATA_LEN = 7;
export const NFTA_SET_DESC = 9;
export const NFTA_SET_ID = 10;
export const NFTA_SET_USERDATA = 13;
/** Not in 6.12 yet (seen with 6.18). */
export const NFTA_SET_COUNT = 20;
export const NFTA_SET_DESC_CONCAT = 2;
export const NFTA_SET_FIELD_LEN = 1;
export const NFT_SET_ANONYMOUS = 0x1;
export const NFT_SET_INTERVAL = 0x4;
export const NFT_SET_MAP = 0x8;
export const NFT_SET_CONCAT = 0x80;

// enum nft_set_elem_list_attributes, nft_set_elem_attributes
export const NFTA_SET_ELEM_LIST_TABLE = 1;
export const NFTA_SET_ELEM_LIST_SET = 2;
export const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
export const NFTA_SET_ELEM_KEY = 1;
export const NFTA_SET_ELEM_DATA = 2;
export const NFTA_SET_ELEM_USERDATA = 6;
/** Linux 5.6. */
export const NFTA_SET_ELEM_KEY_END = 10;

// enum nft_data_attributes, nft_verdict_attributes
export const NFTA_DATA_VALUE = 1;
export const NFTA_DATA_VERDICT = 2;
export const NFTA_VERDICT_CODE = 1;
export const NFTA_VERDICT_CHAIN = 2;

// enum nft_gen_attributes
export const NFTA_GEN_ID = 1;

// enum nft_verdicts
export const NFT_JUMP = -3;
export const NFT_GOTO = -4;
export const NFT_RETURN = -5;
