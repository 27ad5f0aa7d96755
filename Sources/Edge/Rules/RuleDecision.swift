// What rules have decided of a request, for as long as it waits for an origin. In the turn in which the
// rules ran all of it is in the worker's scratch; a hit never makes one of these.

internal import Bytes
internal import HTTPMessage
internal import Rules

final class RuleDecision {
  /// The request as the client sent it.
  let head: RequestHead
  /// Who asks.
  let identity: Identity
  /// The client's address.
  let client: RuleClient
  /// What the key begins with; empty: nothing.
  var keyPrefix: [UInt8] = []
  /// What stands for path and query in the key.
  var cacheKey: [UInt8]?
  /// Whether the response is shared only as RFC 9111 §3.5 permits.
  var isRestricted = false
  /// Whether the head is not the client's.
  var isRewritten = false
  /// Whether the store is neither asked nor filled.
  var bypassesCache = false
  /// A lifetime instead of the response's, nanoseconds; -1: none.
  var lifetime: Int64 = -1
  /// The index of the chosen pool; -1: the route's.
  var origin = -1
  /// The limits that were chosen.
  var limits: [RuleLimit] = []
  /// Tags for the response.
  var tags: [[UInt8]] = []
  /// Members of the log's line, packed.
  var log: [UInt8] = []
  /// Variables that rules of the response read.
  var carried: [UInt8] = []

  init(head: RequestHead, identity: Identity, client: RuleClient) {
    self.head = head
    self.identity = identity
    self.client = client
  }
}

/// Where a request came from, as rules see it.
struct RuleClient {
  var high: UInt64 = 0
  var low: UInt64 = 0
  var port: UInt16 = 0
  var listenerPort: UInt16 = 0
  /// What its handshake said; nil without TLS.
  var facts: SecureFacts?
}
