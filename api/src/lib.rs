//! The control API of weaved: types, paths, one small client
