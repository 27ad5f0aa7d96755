/// What this build is called.
package enum Release {
  /// The version (semver.org), as `/v1/status` and the command show it.
  package static let version = "0.1.0"
}
