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
    names += keepFixedAdmin(of: former)
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

  /// Where the admin listens stays; who may ask, what it shows and where changes are written may change.
  private mutating func keepFixedAdmin(of former: NodeConfiguration) -> [String] {
    guard let present = former.admin, let wanted = admin else {
      defer { admin = former.admin }
      return admin == former.admin ? [] : ["admin"]
    }
    admin?.address = present.address
    admin?.socketMode = present.socketMode
    return (wanted.address == present.address ? [] : ["admin address"])
      + (wanted.socketMode == present.socketMode ? [] : ["admin mode"])
  }
}
