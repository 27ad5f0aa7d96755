import ArgumentParser

/// The command of an edge node.
@main struct Weir: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "weir",
    abstract: "An edge node: an HTTP cache with limits in front of your origins.",
    discussion: """
      Begin with `weir settings`, which explains what an edge.conf may say, then \
      `weir check edge.conf`, then `weir run edge.conf`.
      """,
    version: Version.text,
    subcommands: [
      RunCommand.self, CheckCommand.self, DoctorCommand.self, ConvertCommand.self,
      StatusCommand.self, TopCommand.self, ReloadCommand.self, ConfigCommand.self,
      UpgradeCommand.self, PurgeCommand.self, PurgesCommand.self, ObjectCommand.self,
      ObjectsCommand.self, HitsCommand.self, MissesCommand.self, WarmCommand.self,
      LimitCommand.self, OriginsCommand.self, FleetCommand.self, DrainCommand.self,
      UndrainCommand.self,
      MaintenanceCommand.self, StoreOnlyCommand.self, TokenCommand.self, SettingsCommand.self,
      VersionCommand.self, EvalCommand.self, SignCommand.self, KeyCommand.self,
      ReplayCommand.self, RecordCommand.self, LogCommand.self, AccountingCommand.self,
      NodeCommand.self,
    ])
}

/// The argument that several commands take.
struct ConfigurationArgument: ParsableArguments {
  @Argument(
    help: ArgumentHelp("The configuration file.", valueName: "edge.conf"), completion: .file())
  var file = "edge.conf"
}
