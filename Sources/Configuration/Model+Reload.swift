extension NodeConfiguration {
  /// Goes back to what `former` says where a running node cannot follow.
  ///
  /// - Returns: the settings that would be others after a restart, by their names.
  public mutating func keepFixed(of former: NodeConfiguration) -> [String] {
    var names: [String] = []
    if workers != former.workers {
      names.append("workers")
      workers = former.workers
    }
    if nodeName != former.nodeName {
      names.append("node_name")
      nodeName = former.nodeName
    }
    if user != former.user {
      names.append("user")
      user = former.user
    }
    if trace != former.trace {
      names.append("trace")
      trace = former.trace
    }
    if fleet != former.fleet {
      names.append("fleet")
      fleet = former.fleet
    }
    if admin != former.admin {
      names.append("admin")
      admin = former.admin
    }
    if store?.path != former.store?.path {
      names.append("store")
      store = former.store
    }
    if let present = former.store {
      if store?.size != present.size { names.append("store size") }
      if store?.memory != present.memory { names.append("store memory") }
      store?.size = present.size
      store?.memory = present.memory
    }
    return names
  }
}
