"""Model sources: conversion of torch modules, files and specs to a Graph."""
