package import Configuration

/// Which URLs belong to some sites, and how a request for one says it. Any thread.
package struct SiteURLs: Sendable {
  private let scope: SiteScope?

  /// - Parameter within: host names of sites as the configuration writes them; empty: all URLs belong.
  package init(
    _ configuration: NodeConfiguration, within: [String]
  ) throws(PurgeDefect) {
    scope =
      try within.isEmpty ? nil : SiteScope(within, of: configuration.sites.map(\.hosts))
  }

  /// What `Host` and the request line say for a URL; throws why there is no such request.
  package func parts(of url: String) throws(PurgeDefect) -> (authority: String, target: String) {
    let parsed = try PurgeURL(url)
    try scope?.check(parsed.host)
    return (parsed.authority, parsed.target)
  }
}
