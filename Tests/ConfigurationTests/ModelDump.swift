import Configuration
import Rules

/// A configuration as text: every value that is not its default, in the order of the model.
func dump(_ configuration: NodeConfiguration) -> String {
  var lines: [String] = []
  dump(configuration, default: NodeConfiguration(), indentation: "", &lines)
  return lines.joined(separator: "\n") + "\n"
}

private func dump(_ value: Any, default plain: Any?, indentation: String, _ lines: inout [String]) {
  let plainChildren = plain.map { Array(Mirror(reflecting: $0).children) } ?? []
  for (index, child) in Mirror(reflecting: value).children.enumerated() {
    let label = child.label ?? "\(index)"
    let other = index < plainChildren.count ? plainChildren[index].value : nil
    if let other, String(reflecting: other) == String(reflecting: child.value) { continue }
    dump(child.value, label: label, default: other, indentation: indentation, &lines)
  }
}

private func dump(
  _ value: Any, label: String, default plain: Any?, indentation: String, _ lines: inout [String]
) {
  let mirror = Mirror(reflecting: value)
  switch value {
  case let address as ListenAddress:
    lines.append("\(indentation)\(label): [\(address.host)]:\(address.port)")
  case let address as AdminAddress:
    switch address {
    case .network(let address):
      dump(address, label: label, default: nil, indentation: indentation, &lines)
    case .unix(let path): lines.append("\(indentation)\(label): unix:\(path)")
    }
  case let code as RuleCode:
    lines.append("\(indentation)\(label): \(code.summary)")
  case let server as ServerConfiguration:
    lines.append("\(indentation)\(label): \(text(server))")
  case let strings as [String]:
    lines.append("\(indentation)\(label): \(strings)")
  default:
    if mirror.displayStyle == .optional, let inner = mirror.children.first?.value {
      dump(inner, label: label, default: nil, indentation: indentation, &lines)
    } else if mirror.displayStyle == .collection {
      for (index, element) in mirror.children.enumerated() {
        let name = "\(label)[\(index)]"
        dump(element.value, label: name, default: nil, indentation: indentation, &lines)
      }
    } else if mirror.displayStyle == .struct, !mirror.children.isEmpty {
      lines.append("\(indentation)\(label)")
      dump(value, default: blank(like: value) ?? plain, indentation: indentation + "  ", &lines)
    } else {
      lines.append("\(indentation)\(label): \(value)")
    }
  }
}

private func text(_ server: ServerConfiguration) -> String {
  var text =
    switch server.address {
    case .host(let host, let port): "[\(host)]:\(port)"
    case .unix(let path): "unix:\(path)"
    }
  if server.weight != 1 { text += " weight=\(server.weight)" }
  if server.priority != 0 { text += " priority=\(server.priority)" }
  if server.isBackup { text += " backup" }
  if let limit = server.maxConnections { text += " max_connections=\(limit)" }
  return text
}

/// A value of the same type with nothing set, so that only what was set is shown.
private func blank(like value: Any) -> Any? {
  switch value {
  case is AdminConfiguration: AdminConfiguration(address: .unix(""), token: nil)
  case is OriginConfiguration: OriginConfiguration(name: "")
  case is StoreConfiguration: StoreConfiguration(path: "")
  case is SiteConfiguration: SiteConfiguration(hosts: [])
  case is RouteConfiguration: RouteConfiguration(path: .prefix(""), origin: "", name: "")
  case is ClientConfiguration: ClientConfiguration()
  case is LimitConfiguration: LimitConfiguration(name: "", rule: .concurrency(0))
  case is LimitUse: LimitUse(name: "")
  case is RetryConfiguration: RetryConfiguration()
  case is EjectionConfiguration: EjectionConfiguration()
  case is BreakerConfiguration: BreakerConfiguration()
  case is HealthConfiguration: HealthConfiguration(path: nil)
  case is FilesConfiguration: FilesConfiguration(root: "")
  case is TokenConfiguration: TokenConfiguration(name: "")
  case is AuthenticationServiceConfiguration: AuthenticationServiceConfiguration(name: "")
  default: nil
  }
}
