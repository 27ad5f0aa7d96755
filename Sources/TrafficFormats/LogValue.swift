internal import Bytes

/// What a column, a variable or a member of a recording means.
package enum LogValue: Equatable, Sendable {
  /// Nothing that a replay needs.
  case ignored
  /// The client's address or name.
  case client
  /// The user's name.
  case user
  /// A time in any of the forms that `RecordedTime` reads.
  case time
  /// A date alone, whose time of day is in a column of its own.
  case date
  /// A time of day alone.
  case timeOfDay
  /// A whole request line.
  case request
  /// The method.
  case method
  /// The scheme.
  case scheme
  /// The host.
  case host
  /// The path and query, or a whole URL.
  case target
  /// The path without the query.
  case path
  /// The query without its question mark, or with it.
  case query
  /// A trace's key.
  case key
  /// The status code.
  case status
  /// Bytes of the answer.
  case responseBytes
  /// Bytes of the request.
  case requestBytes
  /// The duration in seconds, with a fraction.
  case seconds
  /// The duration in milliseconds.
  case milliseconds
  /// The duration in microseconds.
  case microseconds
  /// The freshness lifetime in seconds.
  case lifetime
  /// What the server calls itself: the host, where nothing else says it.
  case serverName
  /// A field of the request, by its name in lower case.
  case field(String)

  /// The meaning of one of nginx's variables (without `$`), of a member of a JSON log, or of a trace's
  /// column: the same names mean the same everywhere.
  package init(named name: String) {
    switch name {
    case "remote_addr", "client", "client_ip", "ip", "c-ip", "user_ip", "client_id":
      self = .client
    case "remote_user", "user", "cs-username": self = .user
    case "time", "time_local", "time_iso8601", "msec", "timestamp", "ts", "@timestamp",
      "clock_time":
      self = .time
    case "request": self = .request
    case "request_method", "method", "cs-method", "op", "operation": self = .method
    case "scheme", "cs-protocol": self = .scheme
    case "host", "http_host", "x-host-header", "cs-host": self = .host
    case "server_name": self = .serverName
    case "request_uri", "target", "url", "cs-uri": self = .target
    case "uri", "path", "document_uri", "cs-uri-stem": self = .path
    case "args", "query_string", "query", "cs-uri-query": self = .query
    case "key", "object", "obj_id", "id", "object_id": self = .key
    case "status", "sc-status": self = .status
    case "body_bytes_sent", "bytes_sent", "size", "bytes", "sc-bytes", "obj_size", "object_size",
      "response_bytes":
      self = .responseBytes
    case "bytes_received", "request_bytes", "content_length": self = .requestBytes
    case "request_time", "time-taken", "duration": self = .seconds
    case "duration_ms": self = .milliseconds
    case "duration_us": self = .microseconds
    case "ttl", "lifetime", "max_age": self = .lifetime
    case "user_agent", "referer": self = .field(Self.fieldName(name))
    case "date": self = .date
    case _ where name.hasPrefix("http_"): self = .field(Self.fieldName(String(name.dropFirst(5))))
    case _ where name.hasPrefix("cs(") && name.hasSuffix(")"):
      self = Self(field: String(name.dropFirst(3).dropLast()))
    default: self = .ignored
    }
  }

  /// A field of the request; `Host` is the host.
  init(field name: String) {
    let name = name.lowercased()
    self = name == "host" ? .host : .field(name)
  }

  private static func fieldName(_ variable: String) -> String {
    String(variable.lowercased().map { $0 == "_" ? "-" : $0 })
  }
}
