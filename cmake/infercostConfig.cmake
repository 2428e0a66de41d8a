# find_package(infercost) gives the target infercost::infercost.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/infercostTargets.cmake)
