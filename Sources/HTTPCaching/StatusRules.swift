/// What caching has to know of a status code.
package enum StatusRules {
  /// Whether a response may be given a heuristic lifetime by its status alone (RFC 9110 §15.1; 451 by
  /// RFC 7725 §3).
  package static func isHeuristicallyCacheable(_ status: UInt16) -> Bool {
    switch status {
    case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 451, 501: true
    default: false
    }
  }

  /// Whether this cache knows the status and does all that its definition asks of caches
  /// (RFC 9111 §3): the final ones of RFC 9110 but 206, 304 and the unused ones.
  package static func isUnderstood(_ status: UInt16) -> Bool {
    switch status {
    case 200...205, 300...303, 307, 308, 400...417, 421, 422, 426, 451, 500...505: true
    default: false
    }
  }

  /// Whether the status answers what one request said beside its target, so that storing the response
  /// would give it to others: a failed condition, range or expectation, a missing credential for a
  /// proxy, what came too early (425, RFC 8470 §5.2), and what RFC 6585 forbids to store (428, 429, 431,
  /// 511).
  package static func answersOneRequest(_ status: UInt16) -> Bool {
    switch status {
    case 407, 412, 416, 417, 425, 428, 429, 431, 511: true
    default: false
    }
  }
}
