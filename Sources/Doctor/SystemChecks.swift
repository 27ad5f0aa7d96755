// The kernel's settings and the process's limits; docs/operations.md says why these values.

/// Settings of the machine.
package enum SystemChecks {
  /// Looks at the kernel's settings; `read` gives what a file under /proc or /sys has.
  package static func kernel(_ read: (String) -> String?) -> [CheckFinding] {
    [
      least("net.core.somaxconn", 4_096, read, "connections that come in a burst are dropped"),
      least("net.ipv4.tcp_max_syn_backlog", 4_096, read, "connections that come in a burst wait"),
      ports(read),
      oneOf("net.ipv4.tcp_tw_reuse", ["1", "2"], read, "ports towards origins run out"),
      oneOf(
        "net.ipv4.tcp_slow_start_after_idle", ["0"], read,
        "kept connections begin slowly after each pause"), hugePages(read),
    ].compactMap { $0 }
  }

  private static func value(_ name: String, _ read: (String) -> String?) -> String? {
    let path = "/proc/sys/" + name.split(separator: ".").joined(separator: "/")
    return read(path).map { String($0.split(separator: "\n").first ?? "") }
  }

  private static func least(
    _ name: String, _ wanted: Int, _ read: (String) -> String?, _ else: String
  ) -> CheckFinding? {
    guard let text = value(name, read), let number = Int(text) else { return nil }
    if number >= wanted { return CheckFinding(.ok, name, text) }
    return CheckFinding(
      .warning, name, "\(text): \(`else`)", advice: "sysctl -w \(name)=\(wanted)")
  }

  private static func oneOf(
    _ name: String, _ wanted: [String], _ read: (String) -> String?, _ else: String
  ) -> CheckFinding? {
    guard let text = value(name, read) else { return nil }
    if wanted.contains(text) { return CheckFinding(.ok, name, text) }
    return CheckFinding(
      .warning, name, "\(text): \(`else`)", advice: "sysctl -w \(name)=\(wanted[0])")
  }

  private static func ports(_ read: (String) -> String?) -> CheckFinding? {
    let name = "net.ipv4.ip_local_port_range"
    let bounds = value(name, read)?.split { $0 == "\t" || $0 == " " }.compactMap { Int($0) } ?? []
    guard bounds.count == 2 else { return nil }
    let count = bounds[1] - bounds[0] + 1
    let text = "\(bounds[0]) to \(bounds[1])"
    if count >= 25_000 { return CheckFinding(.ok, name, text) }
    return CheckFinding(
      .warning, name, "\(text): \(max(count, 0)) connections to an address of an origin at most",
      advice: "sysctl -w \(name)=\"10240 65000\"")
  }

  private static func hugePages(_ read: (String) -> String?) -> CheckFinding? {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled"
    guard let text = read(path) else { return nil }
    let name = "huge pages"
    guard text.contains("[always]") else { return CheckFinding(.ok, name, "not always") }
    return CheckFinding(
      .warning, name, "always: memory grows, and the kernel stops the node to join pages",
      advice: "echo madvise > \(path)")
  }

  /// Looks whether the process may have as many descriptors as connections may want.
  package static func descriptors(limit: UInt64, connections: Int) -> CheckFinding {
    // Each client's connection may come with one to an origin; what else there is, is small.
    let wanted = UInt64(clamping: connections) * 2 + 1_024
    let name = "descriptors"
    if limit >= wanted { return CheckFinding(.ok, name, "\(limit)") }
    return CheckFinding(
      limit >= 4_096 ? .warning : .error, name,
      "\(limit), where \(connections) connections of clients want up to \(wanted)",
      advice:
        "LimitNOFILE=\(wanted) in the unit (ulimit -n), or a smaller max_connections in client")
  }

  /// Looks whether the clock can be right: not before what has certainly happened.
  ///
  /// - Parameters:
  ///   - now: seconds since 1970.
  ///   - built: when the executable was written.
  ///   - others: what other machines' clocks said, with their names, against one's own, in seconds.
  package static func clock(
    now: Int64, built: Int64, others: [(name: String, ahead: Int64)]
  ) -> CheckFinding {
    let name = "clock"
    let advice = "set it, and keep it by NTP (timedatectl set-ntp true)"
    if now < built {
      return CheckFinding(
        .error, name, "it is \(now), and this program was written at \(built), later",
        advice: advice)
    }
    if let far = others.max(by: { abs($0.ahead) < abs($1.ahead) }), abs(far.ahead) > 5 {
      let side = far.ahead > 0 ? "behind" : "ahead of"
      return CheckFinding(
        abs(far.ahead) > 60 ? .error : .warning, name,
        "\(abs(far.ahead)) s \(side) \(far.name)'s: ages, tokens and certificates are judged wrongly",
        advice: advice)
    }
    return CheckFinding(
      .ok, name, others.isEmpty ? "later than this program" : "as the origins' (\(others.count))")
  }
}
