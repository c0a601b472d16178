// For fork.go, which declares functions of the Go runtime.
