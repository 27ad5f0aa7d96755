// Which log each request's line goes to. Routes of one site have one; sites that say nothing have the
// node's. Logs that are the same in everything are one channel.

package import AccessLog
package import Configuration
internal import Tracing

/// The channels of a configuration.
package struct AccessLogPlan: Sendable, Equatable {
  /// Each different log; the first is the node's.
  package let logs: [AccessLogConfiguration]
  /// The log of each site, by their places.
  let ofSite: [UInt8]

  /// The plan of a configuration.
  package init(_ configuration: NodeConfiguration) {
    var logs = [configuration.accessLog]
    ofSite = configuration.sites.map { site in
      guard let own = site.accessLog else { return 0 }
      if let known = logs.firstIndex(of: own) { return UInt8(clamping: known) }
      // More are refused when the configuration is read.
      guard logs.count < 255 else { return 0 }
      logs.append(own)
      return UInt8(logs.count - 1)
    }
    self.logs = logs
  }

  /// What opens them.
  package var channels: [AccessLogChannel] { logs.map(\.channel) }
}

/// What becomes of the lines of a route's requests.
struct RouteLog: Sendable {
  /// The channel.
  let channel: UInt8
  /// What a random number must be below for a request to have a line: 0, none has; `.max`, all have.
  let threshold: UInt64

  init(_ channel: UInt8, of log: AccessLogConfiguration) {
    self.channel = channel
    threshold =
      if case .off = log.target { 0 } else if log.sample >= 1_000_000 { .max } else {
        UInt64(log.sample) * (UInt64.max / 1_000_000)
      }
    isOff = if case .off = log.target { true } else { false }
  }

  /// Whether all requests have a line.
  @inline(__always)
  var takesAll: Bool { threshold == .max }
  /// Whether none has one, whatever its status.
  let isOff: Bool

  /// Whether a request has a line that is answered so. Of those answered with 5xx all have.
  @inline(__always)
  func takes(status: UInt16, _ numbers: inout TraceNumbers) -> Bool {
    if isOff { return false }
    return status >= 500 || numbers.next() < threshold
  }
}

extension AccessLogConfiguration {
  /// What opens it.
  fileprivate var channel: AccessLogChannel {
    let style: ClientAddressStyle =
      switch clientAddresses {
      case .full: .full
      case .shortened: .shortened
      case .hashed: .hashed
      }
    let redaction: LogRedaction =
      switch redaction {
      case .usual(let names): .usual(and: names)
      case .only(let names): .only(names)
      }
    var rotation: LogRotation?
    if case .file = target, rotateSize != nil || rotateAge != nil || keepFor != nil {
      rotation = LogRotation(
        size: rotateSize, age: rotateAge.map { $0 / 1_000_000_000 }, keep: keep,
        keepFor: keepFor.map { $0 / 1_000_000_000 }, compresses: compressesRotated)
    }
    return AccessLogChannel(
      destination, format: lineFormat, redaction: redaction, addresses: style, rotation: rotation)
  }

  private var destination: AccessLogDestination {
    switch target {
    case .off: .nowhere
    case .standardOutput: .standardOutput
    case .file(let path): .file(path)
    case .syslogSocket(let path):
      .syslog(SyslogTarget(.unix(path), facility: syslogFacility, tag: syslogTag))
    case .syslogServer(let host, let port):
      .syslog(
        SyslogTarget(.udp(host: host, port: port), facility: syslogFacility, tag: syslogTag))
    }
  }

  private var lineFormat: AccessLog.AccessLogFormat {
    switch format {
    case .json: return .json
    case .combined: return .combined
    case .fields(let names):
      return .fields(
        names.compactMap { LogTemplate.field($0) }, members: names.contains("log"))
    case .template(let text):
      // It was read when the configuration was.
      guard let template = try? LogTemplate(text) else { return .json }
      return .template(template)
    }
  }
}
