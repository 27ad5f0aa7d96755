// What a line of the access log says, as a third table of names: filters of `weir log -f` are conditions over
// it. The names are those of the JSON line, and what rules call the same things is understood.

extension DataName {
  /// The names of conditions over lines of the access log.
  package static let ofLines: [DataName] = [
    DataName(
      "status", .integer, .integer(.status), aliases: ["response.status", "code"],
      "The status code."),
    DataName(
      "method", .text, .text(.lineMethod), aliases: ["request.method", "request_method"],
      "The method, as the client sent it."),
    DataName(
      "host", .text, .text(.host), aliases: ["hostname", "request.host", "http_host"],
      "The host in lower case, without a port."),
    DataName(
      "path", .text, .text(.path), aliases: ["request.path", "uri", "target"],
      "The path of the target, as the client sent it."),
    DataName(
      "query", .text, .text(.query), aliases: ["args", "query_string"],
      "The query without its question mark, as the client sent it."),
    DataName(
      "query.NAME", .text, .family(.parameter), aliases: ["arg", "param"],
      "The value of the query's first parameter of that name, decoded."),
    DataName(
      "client", .address, .clientAddress, aliases: ["client.ip", "remote_addr", "ip"],
      "The client's address, as lines have it (`client_addresses`)."),
    DataName(
      "cache", .text, .text(.cacheResult), aliases: ["cache_status", "result"],
      "What the cache did, such as `hit` or `miss`."),
    DataName(
      "detail", .text, .text(.detail), aliases: ["reason"],
      "Why the request was forwarded, or what went wrong; empty if nothing."),
    DataName("route", .text, .text(.route), "The route's name; empty if none matched."),
    DataName(
      "protocol", .text, .text(.lineProtocol), aliases: ["version", "server_protocol"],
      "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2`."),
    DataName(
      "referer", .text, .text(.referer), aliases: ["header.referer", "http_referer"],
      "The `Referer` field."),
    DataName(
      "user_agent", .text, .text(.userAgent),
      aliases: ["header.user-agent", "agent", "http_user_agent"], "The `User-Agent` field."),
    DataName(
      "duration", .duration, .integer(.duration),
      aliases: ["request_time", "duration_us", "time"],
      "From the request's first byte to the response's last, to be compared with `500ms` and the like."
    ),
    DataName(
      "origin", .duration, .integer(.originDuration),
      aliases: ["upstream_response_time", "origin_us"],
      "From the request to the origin to its response's head; 0 if none was asked."),
    DataName(
      "bytes_sent", .integer, .integer(.size), aliases: ["body_bytes_sent", "size", "bytes"],
      "Bytes of the response's content that were sent."),
    DataName(
      "bytes_received", .integer, .integer(.received), aliases: ["request_length"],
      "Bytes of the request's content that were received."),
    DataName(
      "log.NAME", .text, .family(.claim), aliases: ["members"],
      "What rules have logged under that name."),
  ]
}
