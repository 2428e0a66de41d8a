"""ONNX models: conversion of a file or a `ModelProto` to a Graph, without its weights."""
