/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Part of abi.h: what programs and user space share about HTTP. */
#ifndef PALISADE_ABI_HTTP_H
#define PALISADE_ABI_HTTP_H

/* struct connection.http: what its first bytes were, and whether a request waits for its answer. See lib/http.h. */
#define HTTP_STATE_UNDECIDED 0
#define HTTP_STATE_IDLE 1
#define HTTP_STATE_WAITING 2
#define HTTP_STATE_UNREAD 3 /* a request waits that could not be read */
#define HTTP_STATE_OTHER 4  /* from here on: not looked at again */
#define HTTP_STATE_TLS 5
#define HTTP_STATE_HTTP2 6

/*
 * skb mark bits between the programs, the gate's sockets and the routing rule that delivers to them. A packet to be
 * steered carries MARK_STEER, or MARK_STEER_AGAIN where it has been through the node's netfilter before; what the gate sends to a
 * client or a server carries the mark of its socket.
 */
#define MARK_GATE_MASK 0x00700000
#define MARK_STEER 0x00100000
#define MARK_STEER_AGAIN 0x00500000
#define MARK_STEER_MASK 0x00300000 /* MARK_STEER under it: either of the two */
#define MARK_STEER_REPLY 0x00300000
#define MARK_GATE_DOWN 0x00400000
#define MARK_GATE_UP 0x00600000

/*
 * The port that the gate has towards a server is its client's, moved by GATE_PORT_SHIFT: up below GATE_PORT_MIDDLE, down from
 * there. What would leave the range from GATE_PORT_FIRST to GATE_PORT_LAST stays as it is.
 */
#define GATE_PORT_SHIFT 31744
#define GATE_PORT_FIRST 1024
#define GATE_PORT_MIDDLE (GATE_PORT_FIRST + GATE_PORT_SHIFT)
#define GATE_PORT_LAST (GATE_PORT_MIDDLE + GATE_PORT_SHIFT - 1)

/* The gate's listening ports on the loopback addresses; 0: none. */
struct http_gate {
	__u16 port4_be;
	__u16 port6_be;
	__u32 reserved;
};

/* struct http_event */
#define HTTP_EVENT_EXCHANGE 1
#define HTTP_EVENT_TLS 2   /* the connection begins with a ClientHello: content cannot be seen */
#define HTTP_EVENT_HTTP2 3 /* it begins with the preface of HTTP/2, which is not read */
#define HTTP_METHOD_GET 1
#define HTTP_METHOD_HEAD 2
#define HTTP_METHOD_POST 3
#define HTTP_METHOD_PUT 4
#define HTTP_METHOD_DELETE 5
#define HTTP_METHOD_PATCH 6
#define HTTP_METHOD_OPTIONS 7
#define HTTP_METHOD_CONNECT 8
#define HTTP_METHOD_TRACE 9
#define HTTP_PATH_CUT 0x01 /* the path is longer than what is kept */
#define HTTP_TRANSLATED 0x02
#define HTTP_PATH_BYTES 192
#define HTTP_HOST_BYTES 64

/* One request with its answer, or what a connection was found to be; in a ring of its own. Times in nanoseconds. */
struct http_event {
	__u64 time_ns;
	__u64 latency_ns; /* from the request's segment to the answer's; precise clock */
	__u8 source[16];  /* of the forward direction */
	__u8 destination[16];
	__u8 backend[16]; /* destination after DNAT, zero where there was none */
	__u16 source_port;
	__u16 destination_port;
	__u16 backend_port;
	__u16 slot;
	__u16 status; /* 0: none was seen */
	__u16 drop_reason; /* REASON_… of a request that was refused here */
	__u32 ifindex;
	__u32 peer_identity;
	__u32 rule_id;
	__u32 generation;
	__u8 kind;
	__u8 family;
	__u8 direction;
	__u8 verdict;
	__u8 method;
	__u8 path_length;
	__u8 host_length;
	__u8 flags;
	__u8 path[HTTP_PATH_BYTES];
	__u8 host[HTTP_HOST_BYTES];
};

/*
 * The soft HTTP rules of one peer and port as tables (libs/policy/src/soft): automata over the method, the target, the
 * version and each line of the header. A state is the offset of its row in `words`: an index into `masks` (what the text
 * means if it ends here; 0: it is no such text), then the next state for each class of byte, from class 1; 0: there is none.
 */
#define SOFT_WORDS 32768
#define SOFT_MASKS 256
#define SOFT_RULES 64
#define SOFT_PARTS 4
#define MAX_SOFT_SETS 256 /* of one bank */
struct soft_rules {
	__u64 masks[SOFT_MASKS]; /* of the first parts: rules that still match; of a line: the conditions it fulfils */
	__u64 needs[SOFT_RULES]; /* conditions that each rule demands */
	__u64 once;              /* conditions that no two lines may fulfil */
	__u32 rule_ids[SOFT_RULES];
	__u16 starts[SOFT_PARTS];
	__u8 classes[SOFT_PARTS * 256];
	__u16 words[SOFT_WORDS];
};

/* How far a connection under soft rules has been judged: sequence numbers of its last request. */
struct soft_stream {
	__u32 head; /* its first byte */
	__u32 body; /* the first one after its head */
	__u32 end;  /* the first one after its body */
	__u32 ahead; /* where `stalled`: the least sequence number behind a gap */
	__u8 stalled; /* how often it has come */
	__u8 refused; /* how the connection was refused, see lib/soft_http.h */
	__u16 reserved;
};

struct http_counters {
	__u64 requests;
	__u64 unparsed;  /* requests or answers that could not be read */
	__u64 pipelined; /* segments that look like a request while another waits */
	__u64 tls;
	__u64 http2;
	__u64 ring_full; /* events that found no room */
};

#endif
